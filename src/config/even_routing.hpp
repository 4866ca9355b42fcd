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

/// The sums of a token's rows in one part of a leg are whole groups of moe.combine_groups, so that one row of each part
/// comes home; else every row does. A placement that moves experts between parts breaks the groups up.
inline bool sums_on(const Config& config, const Layout& layout, const Leg& leg) {
  const int parts = layout.expert_parallel / leg.width;
  const bool stays = !layout.seats || layout.seats->keeps(leg.width);
  return stays && std::has_single_bit(static_cast<unsigned>(parts)) && config.moe.combine_groups % parts == 0;
}

/// Parts (of the expert-parallel group, `width` places each) in which each group of moe.groups of a block has experts,
/// ascending.
inline std::vector<std::vector<int>> parts_of_groups(const Config& config, const Layout& layout, int width,
                                                     const MoeLayer& layer) {
  std::vector<std::vector<int>> parts(static_cast<std::size_t>(config.moe.groups));
  for (int e = 0; e < layer.experts; ++e) {
    std::vector<int>& of = parts[static_cast<std::size_t>(std::int64_t{e} * config.moe.groups / layer.experts)];
    const int part = layout.place_of_expert(layer.block, e, layer.experts) / width;
    const auto at = std::lower_bound(of.begin(), of.end(), part);
    if (at == of.end() || *at != part) of.insert(at, part);
  }
  return parts;
}

/// Parts that a token can use at most: those of the groups it keeps that lie in the most, and no more than it has
/// choices.
inline int parts_reached(const Config& config, const Layout& layout, int width, const MoeLayer& layer) {
  std::vector<int> counts;
  for (const auto& parts : parts_of_groups(config, layout, width, layer))
    counts.push_back(static_cast<int>(parts.size()));
  std::sort(counts.rbegin(), counts.rend());
  const auto kept = std::min(counts.size(), static_cast<std::size_t>(config.moe.groups_kept));
  const int all = std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(kept), 0);
  return std::min({all, config.moe.top_k, layout.expert_parallel / width});
}

/// Of tokens that keep `kept` groups of `size` experts, of each of which `away` are not in a part, and choose k of the
/// experts of these: the share with a choice in the part, where groups and then experts are equally likely.
inline double share_with_one_kept(const std::vector<int>& away, int size, int kept, int k) {
  const auto most = static_cast<std::size_t>(kept), width = most * static_cast<std::size_t>(size) + 1;
  std::vector<std::vector<double>> ways(most + 1, std::vector<double>(width, 0.0));  // groups kept, experts away
  ways[0][0] = 1.0;
  for (const int n : away)
    for (std::size_t g = most; g > 0; --g)
      for (std::size_t s = static_cast<std::size_t>(n); s < width; ++s)
        ways[g][s] += ways[g - 1][s - static_cast<std::size_t>(n)];
  double all = 0.0, some = 0.0;
  const auto of = static_cast<std::int64_t>(width) - 1;
  for (std::size_t s = 0; s < width; ++s) {
    all += ways[most][s];
    some += ways[most][s] * share_with_one_among(of - static_cast<std::int64_t>(s), of, k);
  }
  return some / all;
}

/// Share of tokens that use experts of a part of the expert-parallel group. With group-limited routing, where every
/// group is whole in its part, that of tokens with a group there among those that they keep, each of which has a
/// choice; else, as where a placement breaks groups up, by experts of the groups that they keep.
inline double share_of_part(const Config& config, const Layout& layout, int width, int part, const MoeLayer& layer) {
  const int groups = config.moe.groups, kept = config.moe.groups_kept, k = config.moe.top_k;
  const std::int64_t here = layout.experts_of_part(width, part, layer.experts).size();
  const double any = share_with_one_among(here, layer.experts, k);
  if (groups == 1 || kept >= groups || layer.experts % groups != 0) return any;
  int there = 0;
  bool whole = true;
  for (const std::vector<int>& parts : parts_of_groups(config, layout, width, layer)) {
    there += std::binary_search(parts.begin(), parts.end(), part);
    whole &= parts.size() == 1;
  }
  if (whole) return share_with_one_among(there, groups, std::min(kept, k));
  const int size = layer.experts / groups;
  std::vector<int> away(static_cast<std::size_t>(groups), size);
  const Range seats = layout.experts_of_part(width, part, layer.experts);
  for (std::int64_t s = seats.first; s < seats.last; ++s)
    --away[static_cast<std::size_t>(layout.expert_at(layer.block, s) / size)];
  return share_with_one_kept(away, size, kept, k);
}

}  // namespace switchyard
