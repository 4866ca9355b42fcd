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
std::vector<double> all_gather(const Communicator& comm, const std::vector<double>& mine);
std::vector<std::int64_t> all_gather(const Communicator& comm, const std::vector<std::int64_t>& mine);
std::vector<std::string> all_gather(const Communicator& comm, const std::string& mine);
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
