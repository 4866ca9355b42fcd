#include "plan/rule_of_thumb.hpp"

#include <algorithm>
#include <cstdio>

namespace switchyard::plan {
namespace {

/// Less than this is no reason to choose.
constexpr double little = 0.05;
/// More than this is a price.
constexpr double much = 0.25;

std::string text_of(const char* format, double a, double b) {
  char text[256];
  std::snprintf(text, sizeof text, format, a, b);
  return text;
}

/// The configuration with a choice made; layout.expert_parallel and the groups of a token follow from the spread.
Config chosen(const Config& config, const Site& site, int top_k, Spread spread) {
  Config c = config;
  c.moe.top_k = top_k, c.moe.groups = c.moe.groups_kept = 1;
  c.layout.expert_parallel = spread == Spread::one_node ? site.ranks_per_node() : site.ranks;
  if (spread == Spread::grouped) c.moe.groups = site.nodes;
  return c;
}

const Choice* find(const std::vector<Choice>& choices, int top_k, Spread spread) {
  const auto found = std::find_if(choices.begin(), choices.end(),
                                  [&](const Choice& c) { return c.top_k == top_k && c.spread == spread; });
  return found == choices.end() ? nullptr : &*found;
}

std::string on_spread(const Rule& rule, const std::vector<Choice>& choices) {
  const Choice* said = find(choices, rule.top_k, rule.spread);
  if (!said)
    return "experts: the rule's choice (" + name_of(rule.spread) + ") cannot be laid out with this configuration";
  const Choice* best = said;
  for (const Choice& c : choices)
    if (c.top_k == rule.top_k && c.even.seconds.step < best->even.seconds.step) best = &c;
  const double more = said->even.seconds.step / best->even.seconds.step - 1.0;
  const std::string times =
      text_of(" (%.1f ms; the rule's choice: %.1f ms)", best->even.seconds.step * 1e3, said->even.seconds.step * 1e3);
  if (more <= little) return "experts: agrees, " + name_of(rule.spread) + " is the fastest or within 5 %" + times;
  return "experts: disagrees, " + name_of(best->spread) + " is faster than " + name_of(rule.spread) + times;
}

std::string on_top_k(const Rule& rule, const std::vector<Choice>& choices) {
  const Choice *one = find(choices, 1, rule.spread), *two = find(choices, 2, rule.spread);
  if (!one || !two) return "choices: top-1 and top-2 cannot both be laid out as the rule spreads experts";
  const double more = two->even.seconds.step - one->even.seconds.step;
  const double waited = two->even.seconds.exposed - one->even.seconds.exposed;
  const std::string costs = text_of("the second choice costs %.1f %% of a step, of which %.0f %% is waiting for rows",
                                    100.0 * more / one->even.seconds.step, more > 0.0 ? 100.0 * waited / more : 0.0);
  const bool link_decides = more > little * one->even.seconds.step && waited > 0.5 * more;
  if (link_decides == (rule.top_k == 1)) return "choices: agrees with top-" + std::to_string(rule.top_k) + "; " + costs;
  return "choices: disagrees with top-" + std::to_string(rule.top_k) + "; " + costs +
         (link_decides ? ", so the link is the reason to leave it" : ", so the link is no reason to leave it");
}

/// What counts is waiting: that the busiest experts compute longer is so on every link.
std::string on_capacity(const Rule& rule, const std::vector<Choice>& choices) {
  const Choice* said = find(choices, rule.top_k, rule.spread);
  if (!said) return "capacity: as above";
  const Seconds& even = said->even.seconds;
  const auto at = [&](double capacity) {
    const auto found = std::find(rule_capacities.begin(), rule_capacities.end(), capacity);
    return said->full[static_cast<std::size_t>(found - rule_capacities.begin())];
  };
  const Seconds high = at(rule.capacity_high), most = at(rule_capacities.back());
  const double waiting_high = (high.exposed - even.exposed) / even.step,
               waiting_most = (most.exposed - even.exposed) / even.step;
  const std::string costs =
      text_of("full to the rule's upper end a step takes %.1f %% more than at even loads, %.1f points of it waiting; ",
              100.0 * (high.step / even.step - 1.0), 100.0 * waiting_high) +
      text_of("full to 2.0 %.1f %% and %.1f points; even loads cost nothing at any",
              100.0 * (most.step / even.step - 1.0), 100.0 * waiting_most);
  if (waiting_high > much) return "capacity: disagrees, the rule's is too high for this link; " + costs;
  if (waiting_most <= little && rule.capacity_high < rule_capacities.back())
    return "capacity: disagrees, the link is no reason to stop there; " + costs;
  return "capacity: agrees; " + costs;
}

}  // namespace

const std::string& name_of(Spread spread) {
  static const std::array<std::string, 3> names{"shared across nodes", "grouped inside a node", "all on one node"};
  return names.at(static_cast<std::size_t>(spread));
}

const Rule& rule_for(double gbit_per_s) {
  static const std::array<Rule, 3> rules{{{"above 400 Gbit/s", 1.5, 2.0, 2, Spread::shared},
                                          {"200 to 400 Gbit/s", 1.25, 1.5, 2, Spread::grouped},
                                          {"below 200 Gbit/s", 1.0, 1.25, 1, Spread::one_node}}};
  return rules[gbit_per_s > 400.0 ? 0 : gbit_per_s >= 200.0 ? 1 : 2];
}

std::vector<Choice> answer_rule(const Config& config, const Site& site) {
  std::vector<Choice> choices;
  for (const int top_k : {1, 2})
    for (const Spread spread : {Spread::shared, Spread::grouped, Spread::one_node}) {
      Config c = chosen(config, site, top_k, spread);
      if (!validate(at_site(c, site), site.ranks).empty()) continue;
      Prediction best = predict(c, site);
      for (const ExchangeKind exchange : {ExchangeKind::pairwise, ExchangeKind::node, ExchangeKind::gather}) {
        Config other = c;
        other.layout.exchange = exchange;
        if (!validate(at_site(other, site), site.ranks).empty()) continue;
        if (const Prediction p = predict(other, site); p.seconds.step < best.seconds.step) best = p, c = other;
      }
      Choice choice{top_k, spread, best, {}};
      for (std::size_t i = 0; i < rule_capacities.size(); ++i)
        choice.full[i] = predict(c, site, rule_capacities[i]).seconds;
      choices.push_back(choice);
    }
  return choices;
}

std::vector<std::string> verdict_on(const Rule& rule, const std::vector<Choice>& choices) {
  return {on_spread(rule, choices), on_top_k(rule, choices), on_capacity(rule, choices)};
}

}  // namespace switchyard::plan
