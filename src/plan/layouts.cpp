#include "plan/layouts.hpp"

#include <algorithm>

#include "config/estimate.hpp"
#include "config/lane_choice.hpp"
#include "config/moe_layers.hpp"
#include "config/values.hpp"

namespace switchyard::plan {
namespace {

constexpr int most_lanes = 8;

/// More lanes than a rank has grains leave some of them without rows.
std::vector<int> lanes_of(const Config& config, int ranks) {
  std::vector<int> lanes;
  for (int n = 1; n <= most_lanes && n <= std::max(1, config.train.grains / ranks); n *= 2) lanes.push_back(n);
  if (config.layout.lanes > 0 && std::find(lanes.begin(), lanes.end(), config.layout.lanes) == lanes.end())
    lanes.push_back(config.layout.lanes);
  return lanes;
}

std::vector<ExchangeKind> exchanges_of(const Config& config, const Site& site, int expert_parallel) {
  std::vector<ExchangeKind> kinds{ExchangeKind::pairwise};
  if (config.layout.exchange == ExchangeKind::alltoallv) kinds.push_back(ExchangeKind::alltoallv);
  Config by_nodes = at_site(config, site);
  by_nodes.layout.expert_parallel = expert_parallel;
  for (const ExchangeKind kind : {ExchangeKind::node, ExchangeKind::gather}) {
    by_nodes.layout.exchange = kind;
    const Layout layout = layout_of(by_nodes, site.ranks);
    const bool same = kind == ExchangeKind::gather && layout.node_places == 1;  // as node: nothing to gather
    if (layout.by_nodes() && !same) kinds.push_back(kind);
  }
  return kinds;
}

/// Of one expert_parallel, team and number of lanes; a schedule other than `serial` needs several.
void add_layouts(std::vector<Config>& all, const Config& config, const Site& site) {
  const bool alone = config.layout.lanes == 1;
  for (const ScheduleKind schedule : {ScheduleKind::serial, ScheduleKind::pipelined, ScheduleKind::interleaved})
    for (const ExchangeKind exchange : exchanges_of(config, site, config.layout.expert_parallel))
      for (const int zero : {0, 1})
        for (const Recompute recompute : {Recompute::none, Recompute::experts, Recompute::blocks}) {
          if (alone != (schedule == ScheduleKind::serial)) continue;
          if (zero == 1 && site.ranks == 1) continue;
          if (recompute == Recompute::experts && moe_layers(config).empty()) continue;  // which there are none of
          Config c = config;
          c.layout.schedule = schedule, c.layout.exchange = exchange, c.layout.zero = zero;
          c.layout.recompute = recompute;
          if (validate(at_site(c, site), site.ranks).empty()) all.push_back(c);
        }
}

}  // namespace

Config with_fastest_lanes(const Config& config, const Site& site) {
  std::vector<Config> all;
  for (const int lanes : lane_candidates(config, site.ranks)) all.push_back(with_lanes(config, lanes));
  if (all.size() == 1) return all.front();
  std::vector<double> steps;
  for (const Config& c : all) steps.push_back(predict(c, site).seconds.step);
  return all[static_cast<std::size_t>(std::min_element(steps.begin(), steps.end()) - steps.begin())];
}

std::vector<Config> layouts_of(const Config& config, const Site& site) {
  require_site(site);
  std::vector<Config> all;  // in one wave: several refuse losses and recomputation, and are predicted to be slower
  for (int group = 1; group <= site.ranks; ++group) {
    if (site.ranks % group != 0) continue;
    Config c = config;
    c.layout.expert_parallel = group, c.layout.waves = 1;
    for (int team = 1; team <= group; ++team) {
      if (group % team != 0 || config.moe.hidden_chunks % team != 0) continue;
      c.layout.expert_tensor_parallel = team;
      for (const int lanes : lanes_of(config, site.ranks)) {
        c.layout.lanes = lanes;
        add_layouts(all, c, site);
      }
    }
  }
  return all;
}

std::vector<Candidate> rank_layouts(const Config& config, const Site& site, double node_bytes, const Memory& memory,
                                    std::size_t most) {
  std::vector<Candidate> all;
  for (const Config& c : layouts_of(config, site)) all.push_back({c, predict(c, site), 0, true});
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.prediction.seconds.step < b.prediction.seconds.step;
  });
  std::vector<Candidate> fitting, others;
  for (Candidate& candidate : all) {
    if (fitting.size() == most) break;
    candidate.rank_bytes = memory(at_site(candidate.config, site), site.ranks);
    candidate.fits = fits(candidate.rank_bytes, site, node_bytes);
    (candidate.fits ? fitting : others).push_back(candidate);
  }
  std::stable_sort(fitting.begin(), fitting.end(), [](const Candidate& a, const Candidate& b) {
    const double x = a.prediction.seconds.step, y = b.prediction.seconds.step;
    return x != y ? x < y : a.rank_bytes < b.rank_bytes;
  });
  fitting.insert(fitting.end(), others.begin(), others.end());
  return fitting;
}

std::string layout_yaml(const Config& config) {
  const LayoutConfig& l = config.layout;
  return "layout: {expert_parallel: " + format_value(l.expert_parallel) +
         (config.moe.hidden_chunks == 1 ? "" : ", expert_tensor_parallel: " + format_value(l.expert_tensor_parallel)) +
         (l.placement == contiguous_placement ? "" : ", placement: \"" + l.placement + "\"") +
         ", exchange: " + format_value(l.exchange) + ", schedule: " + format_value(l.schedule) +
         ", lanes: " + format_value(l.lanes) + ", zero: " + format_value(l.zero) +
         ", recompute: " + format_value(l.recompute) + "}\n";
}

}  // namespace switchyard::plan
