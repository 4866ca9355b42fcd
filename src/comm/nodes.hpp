// Which ranks share the memory of a machine.
#pragma once
#include <vector>

#include "comm/communicator.hpp"

namespace switchyard::comm {

/// The node of each rank of a communicator, numbered from 0 in the order of their lowest ranks.
struct Nodes {
  std::vector<int> of;

  bool together(int a, int b) const { return of[a] == of[b]; }
};

/// As MPI finds them. Collective; the same on every rank.
Nodes find_nodes(const Communicator& comm);

}  // namespace switchyard::comm
