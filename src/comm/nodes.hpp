// Which ranks share the memory of a machine.
#pragma once
#include <vector>

#include "comm/communicator.hpp"

namespace switchyard::comm {

/// The node of each rank of a communicator, numbered from 0 in the order of their lowest ranks.
struct Nodes {
  std::vector<int> of;

  bool together(int a, int b) const { return of.at(a) == of.at(b); }
  int count() const;
  /// Neighbouring ranks of each group of `ranks` neighbours that are on one node, if these are as many on all nodes and
  /// no node has them twice; else 0.
  int even_share(int ranks) const;
};

/// As MPI finds them, or, with `ranks_per_node` above 0, as many neighbouring ranks each. Collective; the same on every
/// rank.
Nodes find_nodes(const Communicator& comm, int ranks_per_node);

}  // namespace switchyard::comm
