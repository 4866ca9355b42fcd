#include "config/lane_choice.hpp"

#include "config/moe_layers.hpp"

namespace switchyard {

std::string why_lanes_stand(const Config& config, int ranks) {
  if (config.layout.schedule == ScheduleKind::serial) return "layout.schedule serial";
  const int group = config.layout.expert_parallel ? config.layout.expert_parallel : ranks;
  return group == 1 || moe_layers(config).empty() ? "no rows that travel" : "";
}

std::vector<int> lane_candidates(const Config& config, int ranks) {
  if (config.layout.lanes != 0) return {config.layout.lanes};
  if (!why_lanes_stand(config, ranks).empty()) return {config.layout.waves};
  const int grains = (config.train.grains + ranks - 1) / ranks;
  std::vector<int> lanes{config.layout.waves};
  while (2 * lanes.back() <= grains && 2 * lanes.back() <= max_lanes) lanes.push_back(2 * lanes.back());
  return lanes;
}

Config with_lanes(Config config, int lanes) {
  config.layout.lanes = lanes;
  return config;
}

}  // namespace switchyard
