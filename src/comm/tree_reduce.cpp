// The sum of gradient slabs along the grain tree: scatter the nodes to the owners of slices, merge there; and sharing
// what owners have of a slab.
#include <algorithm>
#include <iterator>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "comm/transfers.hpp"
#include "config/shards.hpp"

namespace switchyard::comm {
namespace {

using Nodes = std::vector<std::vector<TreeNode>>;

constexpr std::int64_t cut = unit_block;          // slices end at multiples of this (contract C1, norms)
constexpr std::int64_t round_elements = 1 << 20;  // of one slice and round: bounds the receive buffer

/// The part of a slice that round `r` treats; empty once the slice is done.
Range part_of(Range slice, std::int64_t r) {
  return {std::min(slice.first + r * round_elements, slice.last),
          std::min(slice.first + (r + 1) * round_elements, slice.last)};
}

/// Rounds until the longest slice is done.
std::int64_t rounds_of(std::int64_t n, int ranks) {
  std::int64_t longest = 0;
  for (int r = 0; r < ranks; ++r) longest = std::max(longest, slice_of(n, ranks, r).size());
  return (longest + round_elements - 1) / round_elements;
}

void add(const float* a, const float* b, float* sum, std::int64_t n) {
#pragma GCC ivdep  // sum may be a or b
  for (std::int64_t i = 0; i < n; ++i) sum[i] = a[i] + b[i];
}

/// out = the tree sum of `slots` (n elements each), block by block so that partial sums stay in cache. `out` may be any
/// of the slots: it is written by the last addition only.
/// `partial` holds a block of each slot.
void merge(const std::vector<TreeAdd>& additions, const std::vector<const float*>& slots, std::int64_t n,
           float* partial, float* out) {
  if (slots.empty()) {
    std::fill_n(out, n, 0.0f);
    return;
  }
  if (additions.empty()) {
    if (out != slots[0]) std::copy_n(slots[0], n, out);
    return;
  }
  const TreeAdd* last = &additions.back();
  std::vector<const float*> now(slots.size());
  for (std::int64_t at = 0; at < n; at += cut) {
    const std::int64_t m = std::min(cut, n - at);
    for (std::size_t s = 0; s < slots.size(); ++s) now[s] = slots[s] + at;
    for (const TreeAdd& a : additions) {
      float* sum = &a == last ? out + at : partial + a.into * cut;
      add(now[a.into], now[a.from], sum, m);
      now[a.into] = sum;
    }
  }
}

/// One reduction: what every rank holds and who owns which slice.
struct Reduction {
  const Communicator& comm;
  const Nodes& nodes_of;
  const SlabPart& slab;
  std::vector<TreeAdd> additions;
  float* buffer = nullptr;                          // nodes of other ranks, (nodes, part)
  std::int64_t sent = 0;                            // elements to other ranks
  Transports transports{comm, TransportKind::mpi};  // merged on the host

  Range part(int owner, std::int64_t round) const { return part_of(slice_of(slab.n, comm.size(), owner), round); }
  std::vector<const float*> gather_nodes(std::int64_t round);
};

/// Sends this rank's nodes to the owners of their parts; returns where all nodes of this rank's own part lie.
std::vector<const float*> Reduction::gather_nodes(std::int64_t round) {
  const int ranks = comm.size(), rank = comm.rank();
  const Range own = part(rank, round);
  std::vector<const float*> slots;
  Transfers transfers(transports, sizeof(float));
  std::size_t remote = 0;
  for (int r = 0; r < ranks; ++r)
    for (std::size_t k = 0; k < nodes_of[r].size(); ++k) {
      if (r == rank) {
        slots.push_back(slab.nodes + k * slab.stride + own.first);
      } else {
        slots.push_back(buffer + remote++ * own.size());
        if (own.size()) transfers.receive(const_cast<float*>(slots.back()), own.size(), r, 0);
      }
    }
  for (int i = 1; i < ranks; ++i) {
    const int to = (rank + i) % ranks;
    const Range theirs = part(to, round);
    for (std::size_t k = 0; theirs.size() && k < nodes_of[rank].size(); ++k, sent += theirs.size())
      transfers.send(slab.nodes + k * slab.stride + theirs.first, theirs.size(), to, 0);
  }
  transfers.wait();
  return slots;
}

}  // namespace

std::int64_t sum_elements(std::int64_t n, int ranks, std::int64_t nodes, std::int64_t own_nodes) {
  if (ranks == 1 && nodes == 1) return 0;
  const std::int64_t blocks = (n + cut - 1) / cut, largest = (blocks + ranks - 1) / ranks * cut;
  return nodes * cut + (nodes - own_nodes) * std::min(largest, round_elements);
}

void tree_reduce_scatter(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of,
                         const SlabPart& slab, SumMemory& memory, Timers& timers) {
  expect(static_cast<int>(nodes_of.size()) == comm.size(), "the nodes of every rank");
  std::vector<TreeNode> nodes;
  for (const auto& of : nodes_of) nodes.insert(nodes.end(), of.begin(), of.end());
  const auto count = static_cast<std::int64_t>(nodes.size());
  float* partial = memory.reserve(sum_elements(slab.n, comm.size(), count, std::ssize(nodes_of[comm.rank()])));
  Reduction reduction{comm, nodes_of, slab, tree_additions(nodes), partial + count * cut};
  if (comm.size() == 1) {
    std::vector<const float*> slots;
    for (std::size_t k = 0; k < nodes.size(); ++k) slots.push_back(slab.nodes + k * slab.stride);
    return merge(reduction.additions, slots, slab.n, partial, slab.out);
  }
  for (std::int64_t round = 0; round < rounds_of(slab.n, comm.size()); ++round) {
    const auto slots = reduction.gather_nodes(round);
    const Range own = reduction.part(comm.rank(), round);
    merge(reduction.additions, slots, own.size(), partial, slab.out + own.first);
  }
  timers.bytes[static_cast<int>(Phase::reduce)] += reduction.sent * static_cast<std::int64_t>(sizeof(float));
}

void share_slices(const Communicator& comm, float* slab, std::int64_t n, Timers& timers) {
  const int ranks = comm.size(), rank = comm.rank();
  std::int64_t sent = 0;
  Transports transports(comm, TransportKind::mpi);
  for (std::int64_t round = 0; round < rounds_of(n, ranks); ++round) {
    const auto part = [&](int owner) { return part_of(slice_of(n, ranks, owner), round); };
    Transfers transfers(transports, sizeof(float));
    for (int i = 1; i < ranks; ++i) {
      const int from = (rank + ranks - i) % ranks;
      const Range theirs = part(from);
      if (theirs.size()) transfers.receive(slab + theirs.first, theirs.size(), from, 1);
    }
    const Range own = part(rank);
    for (int i = 1; own.size() && i < ranks; ++i, sent += own.size())
      transfers.send(slab + own.first, own.size(), (rank + i) % ranks, 1);
    transfers.wait();
  }
  timers.bytes[static_cast<int>(Phase::reduce)] += sent * static_cast<std::int64_t>(sizeof(float));
}

void tree_all_reduce(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of, const SlabPart& slab,
                     SumMemory& memory, Timers& timers) {
  tree_reduce_scatter(comm, nodes_of, slab, memory, timers);
  share_slices(comm, slab.out, slab.n, timers);
}

}  // namespace switchyard::comm
