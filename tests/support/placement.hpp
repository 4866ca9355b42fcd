// Placements of experts for tests, and what they mean by their definition.
#pragma once
#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "config/layout.hpp"
#include "config/moe_layers.hpp"

namespace switchyard::test {

/// As if a file had been read that has the mixtures of the configuration in random orders; in each of `parts` of the
/// seats, as those of nodes, the experts that are there without a placement.
inline void place_at_random(Config& config, unsigned seed, int parts = 1) {
  std::mt19937 random(seed);
  SeatOrders orders;
  for (const MoeLayer& layer : moe_layers(config)) {
    std::vector<int>& order = orders.by_block[layer.block];
    order.resize(static_cast<std::size_t>(layer.experts));
    std::iota(order.begin(), order.end(), 0);
    for (int part = 0; part < parts; ++part) {
      const Range seats = split_evenly(layer.experts, parts, part);
      for (std::int64_t left = seats.size(); left > 1; --left)  // no std::shuffle, which differs between libraries
        std::swap(order[static_cast<std::size_t>(seats.first + left - 1)],
                  order[static_cast<std::size_t>(seats.first + static_cast<std::int64_t>(random()) % left)]);
    }
  }
  config.layout.placement = "random", config.layout.seat_orders = std::make_shared<const SeatOrders>(std::move(orders));
}

/// The E experts of a block that live at a place of an expert-parallel group of `places`, ascending.
inline std::vector<int> experts_at(const LayoutConfig& options, int block, int experts, std::pair<int, int> place_of) {
  std::vector<int> order(static_cast<std::size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  if (options.seat_orders) order = options.seat_orders->by_block.at(block);
  const auto [place, places] = place_of;
  std::vector<int> here(order.begin() + experts * place / places, order.begin() + experts * (place + 1) / places);
  std::sort(here.begin(), here.end());
  return here;
}

}  // namespace switchyard::test
