// The communicators of a run, made once: world, expert-parallel group, expert-data group.
#pragma once
#include "comm/communicator.hpp"
#include "config/layout.hpp"

namespace switchyard::comm {

struct Groups {
  /// Collective over MPI_COMM_WORLD's duplicate `world`. `expert_parallel` 0 means all ranks.
  Groups(Communicator world, int expert_parallel, int grains, Determinism determinism = Determinism::layout,
         int lanes = 1);
  Communicator world;
  Layout layout;
  Communicator expert;       ///< EP ranks that together hold every expert; rank here = layout.place()
  Communicator expert_data;  ///< ranks that hold the same experts; rank here = layout.group()
};

}  // namespace switchyard::comm
