// Sums over ranks whose bits do not depend on the layout, and gathers. Host memory.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "base/timers.hpp"
#include "base/tree.hpp"
#include "comm/communicator.hpp"

namespace switchyard::comm {

/// Tells the ledger of elements of `bytes` that a rank gives to an all-to-all, counts[r] of them to rank r of `comm`.
void count_sent(const Communicator& comm, const std::vector<int>& counts, std::int64_t bytes);

void all_reduce_sum(const Communicator& comm, std::int64_t* values, std::int64_t n);
void all_reduce_max(const Communicator& comm, std::int64_t* values, std::int64_t n);
void all_reduce_max(const Communicator& comm, double* values, std::int64_t n);

/// Every rank's values one after another, in rank order; ranks may give different numbers.
/// Where every rank knows how many each gives, that is one collective and not two.
std::vector<double> all_gather(const Communicator& comm, const std::vector<double>& mine,
                               const std::vector<std::int64_t>& count_of);
std::vector<std::int64_t> all_gather(const Communicator& comm, const std::vector<std::int64_t>& mine);
std::vector<std::string> all_gather(const Communicator& comm, const std::string& mine);
/// On rank 0 the first `count_of[r]` elements of 1, 4 or 8 bytes of every rank in `all`, in rank order; nothing is
/// touched elsewhere. In rounds of at most `round` elements, since MPI counts in 31 bits.
void gather_elements(const Communicator& comm, const void* mine, const std::vector<std::int64_t>& count_of,
                     std::size_t element_bytes, void* all, std::int64_t round = std::numeric_limits<int>::max());
/// On rank 0 the values of all ranks in rank order, the first `count_of[r]` of each; empty elsewhere.
template <class T>
std::vector<T> gather_on_root(const Communicator& comm, const std::vector<T>& mine,
                              const std::vector<std::int64_t>& count_of) {
  static_assert(sizeof(T) == 1 || sizeof(T) == 4 || sizeof(T) == 8);
  expect(static_cast<std::int64_t>(mine.size()) >= count_of.at(comm.rank()), "the elements that others wait for");
  std::vector<T> all(comm.rank() == 0 ? std::accumulate(count_of.begin(), count_of.end(), std::int64_t{0})
                                      : std::int64_t{0});
  gather_elements(comm, mine.data(), count_of, sizeof(T), all.data());
  return all;
}

/// The same where every rank gives as many.
template <class T>
std::vector<T> gather_on_root(const Communicator& comm, const std::vector<T>& mine) {
  return gather_on_root(comm, mine, std::vector<std::int64_t>(comm.size(), static_cast<std::int64_t>(mine.size())));
}

void broadcast(const Communicator& comm, void* data, std::int64_t bytes, int root);
/// The text that `root` has, on every rank.
std::string broadcast(const Communicator& comm, std::string text, int root);

/// Sum along the grain tree of n doubles a grain. `mine` holds this rank's nodes, (nodes, n); `nodes_of[r]` the nodes
/// of every rank of `comm`, together all grains. The same bits on every rank and layout.
std::vector<double> tree_all_reduce(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of,
                                    const std::vector<double>& mine, std::int64_t n);

/// Part of a slab of gradients: n elements of each of this rank's nodes, and where their sum goes, which may be the
/// first of them (it is then overwritten).
struct SlabPart {
  const float* nodes;  ///< element i of node k is nodes[k * stride + i]
  std::int64_t stride;
  std::int64_t n;
  float* out;
};

/// Memory of a sum, kept from one to the next: uninitialised, and lost where it grows.
class SumMemory {
 public:
  float* reserve(std::int64_t n) {
    if (size_ < n) memory_ = std::make_unique_for_overwrite<float[]>(n), size_ = n;
    return memory_.get();
  }

 private:
  std::unique_ptr<float[]> memory_;
  std::int64_t size_ = 0;
};

/// The same for a part of a slab, each element on one rank: the owner of its slice (slice_of, config/shards.hpp)
/// receives all nodes' parts of it and adds them up the tree; of `out` nothing else is written. Bytes sent to other
/// ranks are added to `timers` under Phase::reduce.
void tree_reduce_scatter(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of,
                         const SlabPart& part, SumMemory& memory, Timers& timers);

/// Every rank's slice of the n elements to all others, in place; bytes as above.
void share_slices(const Communicator& comm, float* slab, std::int64_t n, Timers& timers);

/// One after the other: the sums on every rank.
void tree_all_reduce(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of, const SlabPart& part,
                     SumMemory& memory, Timers& timers);

/// Floats that such a sum needs of its memory on the rank that needs most, where there are `nodes` in all: those of
/// other ranks in the part of a slice that is summed at a time, and partial sums of a block.
std::int64_t sum_elements(std::int64_t n, int ranks, std::int64_t nodes, std::int64_t own_nodes);

}  // namespace switchyard::comm
