// The communicators of a run, made once: world, expert-parallel group, expert-data group, and of nodes.
#pragma once
#include <optional>

#include "comm/communicator.hpp"
#include "comm/nodes.hpp"
#include "config/layout.hpp"

namespace switchyard::comm {

/// Of an expert-parallel group whose rows go by nodes.
struct NodeGroups {
  Communicator near;  ///< its ranks on this node; rank here = layout.place() % layout.node_places
  Communicator rail;  ///< those with the same rank in theirs; rank here = node of the group
};

struct Groups {
  /// Collective over MPI_COMM_WORLD's duplicate `world`. Throws Error{usage} where rows go by nodes and these have
  /// unequal parts of an expert-parallel group.
  Groups(Communicator world, const LayoutConfig& options, int grains, Determinism determinism = Determinism::layout);
  /// Whether rank r of one of the groups is on this rank's node.
  bool on_my_node(const Communicator& group, int r) const;
  Communicator world;
  Nodes nodes;  ///< of all ranks
  Layout layout;
  Communicator expert;       ///< EP ranks that together hold every expert; rank here = layout.place()
  Communicator expert_data;  ///< ranks that hold the same experts; rank here = layout.group()
  std::optional<NodeGroups> by_nodes;
};

}  // namespace switchyard::comm
