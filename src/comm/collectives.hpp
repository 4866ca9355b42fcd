// Sums over ranks whose bits do not depend on the layout, and gathers. Host memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/timers.hpp"
#include "base/tree.hpp"
#include "comm/communicator.hpp"

namespace switchyard::comm {

void all_reduce_sum(const Communicator& comm, std::int64_t* values, std::int64_t n);
void all_reduce_max(const Communicator& comm, std::int64_t* values, std::int64_t n);
void all_reduce_max(const Communicator& comm, double* values, std::int64_t n);

/// Every rank's values one after another, in rank order; ranks may give different numbers.
/// Where every rank knows how many each gives, that is one collective and not two.
std::vector<double> all_gather(const Communicator& comm, const std::vector<double>& mine,
                               const std::vector<std::int64_t>& count_of);
std::vector<std::int64_t> all_gather(const Communicator& comm, const std::vector<std::int64_t>& mine);
std::vector<std::string> all_gather(const Communicator& comm, const std::string& mine);
/// On `root` every rank's `bytes_of[r]` bytes in `all`, one after another in rank order; nothing is touched elsewhere.
void gather_bytes(const Communicator& comm, const void* mine, const std::vector<std::int64_t>& bytes_of, void* all,
                  int root);
/// On rank 0 the values of all ranks in rank order, `count_of[r]` from each; empty elsewhere.
template <class T>
std::vector<T> gather_on_root(const Communicator& comm, const std::vector<T>& mine,
                              const std::vector<std::int64_t>& count_of) {
  std::vector<std::int64_t> bytes;
  std::int64_t total = 0;
  for (const std::int64_t n : count_of) bytes.push_back(n * static_cast<std::int64_t>(sizeof(T))), total += n;
  std::vector<T> all(comm.rank() == 0 ? total : 0);
  gather_bytes(comm, mine.data(), bytes, all.data(), 0);
  return all;
}

void broadcast(const Communicator& comm, void* data, std::int64_t bytes, int root);
/// The text that `root` has, on every rank.
std::string broadcast(const Communicator& comm, std::string text, int root);

/// Sum along the grain tree of n doubles a grain. `mine` holds this rank's nodes, (nodes, n); `nodes_of[r]` the nodes
/// of every rank of `comm`, together all grains. The same bits on every rank and layout.
std::vector<double> tree_all_reduce(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of,
                                    const std::vector<double>& mine, std::int64_t n);

/// The same for a slab of gradients: `mine` (nodes, n) row-major; the sum lands in `out` (n) on every rank. Each rank
/// owns a slice (cut at multiples of 4096), receives all nodes' parts of it, adds them up the tree and shares the
/// result. Bytes sent to other ranks are added to `timers` under Phase::reduce. `out` may be `mine` (the first node is
/// then overwritten).
void tree_all_reduce(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of, const float* mine,
                     std::int64_t n, float* out, Timers& timers);

}  // namespace switchyard::comm
