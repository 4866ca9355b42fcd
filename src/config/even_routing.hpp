// What even random routing gives in the mean, and which rows go home: closed forms, without MPI and Kokkos.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <vector>

#include "config/config.hpp"
#include "config/layout.hpp"
#include "config/moe_layers.hpp"

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

/// Nodes of the expert-parallel group on which each group of moe.groups of a block has experts, ascending.
inline std::vector<std::vector<int>> nodes_of_groups(const Config& config, const Layout& layout,
                                                     const MoeLayer& layer) {
  std::vector<std::vector<int>> nodes(static_cast<std::size_t>(config.moe.groups));
  for (int e = 0; e < layer.experts; ++e) {
    std::vector<int>& of = nodes[static_cast<std::size_t>(std::int64_t{e} * config.moe.groups / layer.experts)];
    const int node = layout.node_of_place(layout.place_of_expert(layer.block, e, layer.experts));
    const auto at = std::lower_bound(of.begin(), of.end(), node);
    if (at == of.end() || *at != node) of.insert(at, node);
  }
  return nodes;
}

/// Nodes that a token can use at most: those of the groups it keeps that lie on the most, and no more than it has
/// choices.
inline int nodes_reached(const Config& config, const Layout& layout, const MoeLayer& layer) {
  std::vector<int> counts;
  for (const auto& nodes : nodes_of_groups(config, layout, layer)) counts.push_back(static_cast<int>(nodes.size()));
  std::sort(counts.rbegin(), counts.rend());
  const auto kept = std::min(counts.size(), static_cast<std::size_t>(config.moe.groups_kept));
  const int all = std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(kept), 0);
  return std::min({all, config.moe.top_k, layout.group_nodes()});
}

/// Share of tokens that use experts of a node of the expert-parallel group. With group-limited routing at most that of
/// tokens with a group there among those that they keep, each of which has a choice; exactly these where every group is
/// whole on its node.
inline double share_of_node(const Config& config, const Layout& layout, int node, const MoeLayer& layer) {
  const int groups = config.moe.groups, kept = config.moe.groups_kept, k = config.moe.top_k;
  const std::int64_t here = layout.experts_of_node(node, layer.experts).size();
  const double any = share_with_one_among(here, layer.experts, k);
  if (groups == 1 || kept >= groups || layer.experts % groups != 0) return any;
  int there = 0;
  bool whole = true;
  for (const std::vector<int>& nodes : nodes_of_groups(config, layout, layer)) {
    there += std::binary_search(nodes.begin(), nodes.end(), node);
    whole &= nodes.size() == 1;
  }
  const double limited = share_with_one_among(there, groups, whole ? std::min(kept, k) : kept);
  return whole ? limited : std::min(limited, any);
}

}  // namespace switchyard
