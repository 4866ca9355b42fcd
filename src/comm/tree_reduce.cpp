// The sum of gradient slabs along the grain tree: scatter the nodes to the owners of slices, merge there, share the
// sums; and sharing alone what owners have of a slab.
#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include "base/check.hpp"
#include "comm/tree_sum.hpp"
#include "config/shards.hpp"

namespace switchyard::comm {
namespace {

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

/// Begins to give this rank's part of `slab` to all others, and to take theirs; returns how many elements it gives.
template <class PartOf>
std::int64_t give_to_all(Transfers& transfers, const Communicator& comm, float* slab, const PartOf& part) {
  const int ranks = comm.size(), rank = comm.rank();
  for (int i = 1; i < ranks; ++i) {
    const int from = (rank + ranks - i) % ranks;
    const Range theirs = part(from);
    if (theirs.size()) transfers.receive(slab + theirs.first, theirs.size(), from, 1);
  }
  const Range own = part(rank);
  for (int i = 1; own.size() && i < ranks; ++i) transfers.send(slab + own.first, own.size(), (rank + i) % ranks, 1);
  return own.size() * (ranks - 1);
}

}  // namespace

std::int64_t sum_elements(std::int64_t n, int ranks, std::int64_t nodes, std::int64_t own_nodes) {
  if (ranks == 1 && nodes == 1) return 0;
  const std::int64_t blocks = (n + cut - 1) / cut, largest = (blocks + ranks - 1) / ranks * cut;
  return nodes * cut + (nodes - own_nodes) * std::min(largest, round_elements);
}

TreeSum::TreeSum(const Communicator& comm, std::vector<std::vector<TreeNode>> nodes_of, const SlabPart& slab,
                 bool share, SumMemory& memory)
    : comm_(comm),
      nodes_of_(std::move(nodes_of)),
      slab_(slab),
      share_(share && comm.size() > 1),
      memory_(memory),
      transports_(comm, TransportKind::mpi),  // added up on the host
      rounds_(rounds_of(slab.n, comm.size())),
      legs_(rounds_ + (share_ && rounds_ > 0)),
      exceptions_(std::uncaught_exceptions()) {
  expect(static_cast<int>(nodes_of_.size()) == comm.size(), "the nodes of every rank");
}

TreeSum::~TreeSum() {
  if (!done()) wait_or_end_run(comm_, exceptions_, "a sum of gradients was", [this] { wait(); });
}

Range TreeSum::slice(int owner) const { return slice_of(slab_.n, comm_.size(), owner); }
Range TreeSum::part(int owner, std::int64_t round) const { return part_of(slice(owner), round); }

std::int64_t TreeSum::nodes_of_others() const {
  std::int64_t count = -std::ssize(nodes_of_[comm_.rank()]);
  for (const auto& of : nodes_of_) count += std::ssize(of);
  return count;
}

std::int64_t TreeSum::bytes_sent() const {
  const std::int64_t own = slice(comm_.rank()).size(), nodes = std::ssize(nodes_of_[comm_.rank()]);
  return (nodes * (slab_.n - own) + (share_ ? own * (comm_.size() - 1) : 0)) * std::int64_t{sizeof(float)};
}

std::int64_t TreeSum::bytes_received() const {
  const std::int64_t own = slice(comm_.rank()).size();
  return (nodes_of_others() * own + (share_ ? slab_.n - own : 0)) * std::int64_t{sizeof(float)};
}

bool TreeSum::poll() {
  while (!done()) {
    if (!transfers_) leave();
    if (!transfers_->poll()) return false;
    arrive();
  }
  return true;
}

void TreeSum::wait() {
  while (!done()) {
    if (!transfers_) leave();
    transfers_->wait();
    arrive();
  }
}

/// Nobody else uses the memory now.
void TreeSum::begin() {
  std::vector<TreeNode> nodes;
  for (const auto& of : nodes_of_) nodes.insert(nodes.end(), of.begin(), of.end());
  const std::int64_t count = std::ssize(nodes);
  additions_ = tree_additions(nodes);
  partial_ = memory_.reserve(sum_elements(slab_.n, comm_.size(), count, std::ssize(nodes_of_[comm_.rank()])));
  others_ = partial_ + count * cut;
}

void TreeSum::leave() {
  if (leg_ == 0) begin();
  transfers_.emplace(transports_, std::int64_t{sizeof(float)});
  if (leg_ < rounds_) send_nodes();
  if (share_ && leg_ > 0) send_sums();
}

/// This rank's nodes to the owners of their parts; those of other ranks that are its own come.
void TreeSum::send_nodes() {
  const int ranks = comm_.size(), rank = comm_.rank();
  const Range own = part(rank, leg_);
  slots_.clear();
  std::int64_t remote = 0;
  for (int r = 0; r < ranks; ++r)
    for (std::size_t k = 0; k < nodes_of_[r].size(); ++k) {
      float* to = others_ + remote * own.size();
      slots_.push_back(r == rank ? slab_.nodes + k * slab_.stride + own.first : to);
      if (r == rank) continue;
      ++remote;
      if (own.size()) transfers_->receive(to, own.size(), r, 0);
    }
  for (int i = 1; i < ranks; ++i) {
    const int to = (rank + i) % ranks;
    const Range theirs = part(to, leg_);
    for (std::size_t k = 0; theirs.size() && k < nodes_of_[rank].size(); ++k)
      transfers_->send(slab_.nodes + k * slab_.stride + theirs.first, theirs.size(), to, 0);
  }
}

/// Those of the round before: its nodes have left, so that their places may be those of the sums.
void TreeSum::send_sums() {
  give_to_all(*transfers_, comm_, slab_.out, [this](int owner) { return part(owner, leg_ - 1); });
}

void TreeSum::arrive() {
  transfers_.reset();
  if (leg_ < rounds_) {
    const Range own = part(comm_.rank(), leg_);
    merge(additions_, slots_, own.size(), partial_, slab_.out + own.first);
  }
  ++leg_;
}

void tree_reduce_scatter(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of,
                         const SlabPart& slab, SumMemory& memory, Timers& timers) {
  TreeSum sum(comm, nodes_of, slab, false, memory);
  sum.wait();
  timers.bytes[static_cast<int>(Phase::reduce)] += sum.bytes_sent();
}

void share_slices(const Communicator& comm, float* slab, std::int64_t n, Timers& timers) {
  const int ranks = comm.size();
  std::int64_t sent = 0;
  Transports transports(comm, TransportKind::mpi);
  for (std::int64_t round = 0; round < rounds_of(n, ranks); ++round) {
    const auto part = [&](int owner) { return part_of(slice_of(n, ranks, owner), round); };
    Transfers transfers(transports, sizeof(float));
    sent += give_to_all(transfers, comm, slab, part);
    transfers.wait();
  }
  timers.bytes[static_cast<int>(Phase::reduce)] += sent * static_cast<std::int64_t>(sizeof(float));
}

void tree_all_reduce(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of, const SlabPart& slab,
                     SumMemory& memory, Timers& timers) {
  TreeSum sum(comm, nodes_of, slab, true, memory);
  sum.wait();
  timers.bytes[static_cast<int>(Phase::reduce)] += sum.bytes_sent();
}

}  // namespace switchyard::comm
