// The ways through a step that are not in the table of cases of layouts_test, and whether every two of their options
// have met.
#pragma once
#include <algorithm>
#include <bit>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "support/kinds.hpp"
#include "support/placement.hpp"
#include "support/world.hpp"

namespace switchyard {

/// The ways through a step that are not in the table of cases: each layout of a case takes one, at random, the same on
/// all ranks and every time.
class Ways {
 public:
  void next(Config& config) {
    const std::vector<ScheduleKind> schedules = test::all_of<ScheduleKind>();
    const std::vector<Recompute> kinds = test::all_of<Recompute>();
    const std::vector<TransportChoice> transports = test::all_of<TransportChoice>();
    const std::vector<int> shares = test::degrees(config.layout.expert_parallel);
    LayoutConfig& layout = config.layout;
    layout.schedule = schedules[random_() % schedules.size()];
    layout.lanes = 1 << random_() % 4;
    layout.ranks_per_node = shares[random_() % shares.size()];
    layout.recompute = kinds[random_() % kinds.size()];
    layout.recompute_blocks.clear();
    if (random_() % 4 == 0 && layout.recompute != Recompute::none) layout.recompute_blocks = {1};
    layout.zero = random_() % 2;
    layout.local_first = local_first_() % 2;
    const bool alone = layout.exchange == ExchangeKind::gather;
    const int most = alone ? 1 : std::gcd(config.moe.hidden_chunks, layout.expert_parallel);  // a power of two
    layout.expert_tensor_parallel = 1 << random_() % std::bit_width(static_cast<unsigned>(most));
    layout.ranks_per_node = std::lcm(layout.ranks_per_node, layout.expert_tensor_parallel);
    layout.placement = contiguous_placement, layout.seat_orders = nullptr;
    const int nodes = layout.expert_parallel / layout.ranks_per_node;
    if (const int parts = std::vector{0, 1, nodes}[random_() % 3]; parts > 0)  // anywhere, or within nodes
      test::place_at_random(config, static_cast<unsigned>(random_()), parts);
    layout.transport = transports[random_() % transports.size()];
    layout.waves = 1 << waves_() % std::bit_width(static_cast<unsigned>(layout.lanes));
    if (layout.waves > 1 && waves_() % 2 == 0) layout.recompute = Recompute::none, layout.recompute_blocks.clear();
    if (!validate(config, 0).empty()) layout.waves = 1;
  }

 private:
  std::mt19937 random_{13}, local_first_{17}, waves_{19};
};

/// Which options of a layout have met where rows travel. One that has numbers counts by what they mean: none or some.
class Cover {
 public:
  void add(const Config& config) {
    const std::vector<std::string> values = values_of(config);
    for (const std::string& a : values)
      for (const std::string& b : values) seen_.insert({a, b});
  }
  /// "a with b" of every two values of different options that could have met and did not.
  std::vector<std::string> missing() const {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < options().size(); ++i)
      for (std::size_t j = i + 1; j < options().size(); ++j)
        for (const std::string& a : options()[i])
          for (const std::string& b : options()[j])
            if (!seen_.contains({a, b}) && !refused(a, b)) all.push_back(a + " with " + b);
    return all;
  }

 private:
  template <class E>
  static std::vector<std::string> named(const std::string& prefix) {
    std::vector<std::string> all;
    for (const E value : test::all_of<E>()) all.push_back(prefix + test::name_of(value));
    return all;
  }
  static const std::vector<std::vector<std::string>>& options() {
    static const std::vector<std::vector<std::string>> all{named<ExchangeKind>("exchange "),
                                                           named<TransportChoice>("transport "),
                                                           named<ScheduleKind>("schedule "),
                                                           named<Recompute>("recompute "),
                                                           {"one lane", "lanes"},
                                                           {"one wave", "waves"},
                                                           {"zero 0", "zero 1"},
                                                           {"in order", "local first"},
                                                           {"no teams", "teams"},
                                                           {"contiguous", "placed"},
                                                           {"one node", "nodes of one", "nodes of several"}};
    return all;
  }
  static std::vector<std::string> values_of(const Config& config) {
    const LayoutConfig& layout = config.layout;
    const int grains = config.train.grains / test::world_size();  // of a rank; lanes beyond them are empty
    const bool all_blocks = layout.recompute_blocks.empty();
    return {"exchange " + test::name_of(layout.exchange),
            "transport " + test::name_of(layout.transport),
            "schedule " + test::name_of(layout.schedule),
            all_blocks ? "recompute " + test::name_of(layout.recompute) : "recompute of one block",
            std::min(layout.lanes, grains) > 1 ? "lanes" : "one lane",
            layout.waves > 1 && grains > 1 ? "waves" : "one wave",
            "zero " + std::to_string(layout.zero),
            layout.local_first ? "local first" : "in order",
            layout.expert_tensor_parallel > 1 ? "teams" : "no teams",
            layout.placement == contiguous_placement ? "contiguous" : "placed",
            layout.ranks_per_node == 1                       ? "nodes of one"
            : layout.ranks_per_node < layout.expert_parallel ? "nodes of several"
                                                             : "one node"};
  }
  /// What `validate` refuses.
  static bool refused(const std::string& a, const std::string& b) {
    static const std::set<std::pair<std::string, std::string>> never{{"exchange gather", "teams"},
                                                                     {"teams", "nodes of one"},
                                                                     {"one lane", "waves"},
                                                                     {"recompute experts", "waves"},
                                                                     {"recompute blocks", "waves"}};
    return never.contains({a, b});
  }

  std::set<std::pair<std::string, std::string>> seen_;
};

}  // namespace switchyard
