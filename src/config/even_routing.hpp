// What even random routing gives in the mean, and which rows go home: closed forms, without MPI and Kokkos.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>

#include "config/config.hpp"
#include "config/layout.hpp"

namespace switchyard {

/// Share of tokens with at least one of k different choices among `some` of E experts: 1 − C(E − some, k) / C(E, k).
inline double share_with_one_among(std::int64_t some, std::int64_t experts, int top_k) {
  double none = 1.0;
  for (int j = 0; j < top_k; ++j) none *= std::max(0.0, double(experts - some - j) / double(experts - j));
  return 1.0 - none;
}

/// The sums of a token's rows on one node are whole groups of moe.combine_groups, so that one row of each node goes
/// home; else every row does. A placement that moves experts between nodes breaks the groups up.
inline bool sums_by_node(const Config& config, const Layout& layout) {
  const unsigned nodes = static_cast<unsigned>(layout.group_nodes());
  const bool stays = !layout.seats || layout.seats->within_nodes;
  return layout.by_nodes() && stays && std::has_single_bit(nodes) &&
         config.moe.combine_groups % static_cast<int>(nodes) == 0;
}

/// Share of tokens that use experts of a node of the expert-parallel group. With group-limited routing whose groups are
/// as many or a multiple of the nodes: that of tokens with one of their groups there, each of which has a choice.
inline double share_of_node(const Config& config, const Layout& layout, int node, int experts) {
  const int groups = config.moe.groups, kept = config.moe.groups_kept, nodes = layout.group_nodes();
  if (groups > 1 && kept < groups && groups % nodes == 0 && experts % groups == 0)
    return share_with_one_among(groups / nodes, groups, std::min(kept, config.moe.top_k));
  return share_with_one_among(layout.experts_of_node(node, experts).size(), experts, config.moe.top_k);
}

}  // namespace switchyard
