#include "comm/groups.hpp"

#include <string>

#include "base/check.hpp"
#include "config/values.hpp"

namespace switchyard::comm {
namespace {

int degree_of(const Communicator& world, int expert_parallel) {
  const int degree = expert_parallel ? expert_parallel : world.size();
  check(degree > 0 && world.size() % degree == 0, Exit::usage,
        "layout.expert_parallel is " + std::to_string(degree) + " (it does not divide the " +
            std::to_string(world.size()) + " ranks of the run); choose a divisor, or 0 for all ranks");
  return degree;
}

int team_of(const Layout& layout, int expert_tensor_parallel) {
  check(expert_tensor_parallel > 0 && layout.expert_parallel % expert_tensor_parallel == 0, Exit::usage,
        "layout.expert_tensor_parallel is " + std::to_string(expert_tensor_parallel) + " (it does not divide the " +
            std::to_string(layout.expert_parallel) + " ranks of an expert-parallel group); choose a divisor");
  return expert_tensor_parallel;
}

Layout layout_of(const Communicator& world, const Nodes& nodes, const LayoutConfig& options, int grains,
                 Determinism determinism) {
  Layout layout{world.size(), world.rank(), degree_of(world, options.expert_parallel),
                grains,       determinism,  options.lanes};
  layout.expert_tensor_parallel = team_of(layout, options.expert_tensor_parallel);
  if (!options.by_nodes()) return layout;
  layout.gathered = options.exchange == ExchangeKind::gather;
  layout.node_places = nodes.even_share(layout.expert_parallel);
  if (layout.node_places == 0)  // as every rank finds
    throw AgreedError(Exit::usage,
                      "layout.exchange is " + format_value(options.exchange) +
                          " (the ranks of an expert-parallel group must be neighbours on their node, "
                          "and as many on every node; the " +
                          std::to_string(world.size()) + " ranks of this run on " + std::to_string(nodes.count()) +
                          " nodes, in groups of " + std::to_string(layout.expert_parallel) +
                          ", are not); start equally many ranks on every node, or set layout.exchange to pairwise");
  if (layout.by_nodes() && layout.node_places % layout.expert_tensor_parallel != 0)
    throw AgreedError(Exit::usage, "layout.expert_tensor_parallel is " + std::to_string(layout.expert_tensor_parallel) +
                                       " (with layout.exchange node an expert stays on one node, and nodes have " +
                                       std::to_string(layout.node_places) +
                                       " ranks of a group each); choose a divisor, or set layout.exchange to pairwise");
  return layout;
}

/// With experts where the placement has them.
Layout seated(Layout layout, const LayoutConfig& options) {
  layout.seats = seats_of(options, layout);
  return layout;
}

std::optional<NodeGroups> split(const Communicator& expert, const Layout& layout) {
  if (!layout.by_nodes()) return {};
  const int node = layout.place() / layout.node_places, place = layout.place() % layout.node_places;
  return NodeGroups{expert.split(node, place), expert.split(place, node)};
}

}  // namespace

Groups::Groups(Communicator all, const LayoutConfig& options, int grains, Determinism determinism)
    : world(std::move(all)),
      nodes(find_nodes(world, options.ranks_per_node)),
      layout(seated(layout_of(world, nodes, options, grains, determinism), options)),
      expert(world.split(layout.group(), layout.place())),
      expert_data(world.split(layout.place(), layout.group())),
      by_nodes(split(expert, layout)) {}

bool Groups::on_my_node(const Communicator& group, int r) const {
  int rank = 0;
  while (world.world_rank(rank) != group.world_rank(r)) ++rank;
  return nodes.together(layout.rank, rank);
}

}  // namespace switchyard::comm
