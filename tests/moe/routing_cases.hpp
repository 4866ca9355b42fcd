// Made-up routing of a global batch that every rank can compute for all others, over many layouts.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <vector>

#include "moe/plan.hpp"
#include "support/placement.hpp"
#include "support/ranks.hpp"
#include "support/values.hpp"

namespace switchyard::moe::testing {

struct RoutingCase {
  int experts;
  int top_k;  ///< choices of each token
  int grains;
  int grain_tokens;
  int used;  ///< only the first `used` experts are chosen
  int drop;  ///< one choice in `drop` is dropped; 0 none
  ExchangeKind exchange = ExchangeKind::pairwise;
  bool ragged = false;  ///< tokens have 0 to top_k choices
  unsigned placed = 0;  ///< seed of a placement; 0 for none
  bool local_first = false;
};

inline std::ostream& operator<<(std::ostream& out, const RoutingCase& c) {
  return out << "E" << c.experts << " k" << c.top_k << " G" << c.grains << " used " << c.used << " drop " << c.drop
             << (c.ragged ? " ragged" : "") << " placed " << c.placed;
}

inline const std::vector<RoutingCase>& routing_cases() {
  static const std::vector<RoutingCase> cases{{1, 1, 8, 5, 1, 0},
                                              {2, 1, 4, 3, 2, 0},
                                              {3, 2, 8, 7, 3, 4},
                                              {8, 2, 6, 4, 8, 3},
                                              {8, 2, 3, 9, 2, 0},
                                              {257, 1, 8, 6, 257, 0},
                                              {257, 2, 5, 8, 9, 5},
                                              {5, 3, 1, 11, 5, 2},
                                              {8, 1, 8, 4, 8, 1},
                                              {3, 2, 8, 7, 3, 4, ExchangeKind::alltoallv},
                                              {257, 2, 3, 8, 200, 7, ExchangeKind::alltoallv},
                                              {8, 3, 6, 4, 8, 0, ExchangeKind::pairwise, true},
                                              {4, 1, 8, 1, 4, 0, ExchangeKind::pairwise, true},
                                              {257, 5, 5, 8, 9, 4, ExchangeKind::pairwise, true},
                                              {5, 3, 1, 11, 5, 2, ExchangeKind::alltoallv, true},
                                              {3, 3, 8, 7, 3, 4, ExchangeKind::alltoallv, true},
                                              {1, 1, 8, 5, 1, 0, ExchangeKind::pairwise, false, 1},
                                              {3, 2, 8, 7, 3, 4, ExchangeKind::pairwise, false, 2},
                                              {8, 2, 6, 4, 8, 3, ExchangeKind::pairwise, false, 3},
                                              {257, 5, 5, 8, 9, 4, ExchangeKind::alltoallv, true, 4}};
  return cases;
}

inline std::uint32_t mix(std::uint32_t v) {
  v = (v ^ (v >> 16)) * 0x7feb352du;
  v = (v ^ (v >> 15)) * 0x846ca68bu;
  return v ^ (v >> 16);
}

inline int choices_of(const RoutingCase& c, std::int64_t token) {
  return c.ragged ? static_cast<int>(mix(static_cast<std::uint32_t>(token * 3 + 1)) % (c.top_k + 1)) : c.top_k;
}

/// Distinct for the choices of one token.
inline int expert_of(const RoutingCase& c, std::int64_t token, int choice) {
  const int span = std::max(c.used, c.top_k);
  return static_cast<int>((mix(static_cast<std::uint32_t>(token)) % span + choice) % span);
}

inline bool kept(const RoutingCase& c, std::int64_t token, int choice) {
  return c.drop == 0 || mix(static_cast<std::uint32_t>(token * 16 + choice + 7)) % c.drop != 0;
}

using switchyard::test::on_device;

constexpr int width = 19;

/// A configuration with the tokens and the choices of a case.
inline Config config_of(const RoutingCase& c) {
  Config config;
  config.train.grains = config.train.batch = c.grains;
  config.model.context = c.grain_tokens;
  config.model.width = width, config.model.blocks = 1;
  config.moe.experts = c.experts, config.moe.top_k = c.top_k;
  config.layout.exchange = c.exchange, config.layout.local_first = c.local_first;
  if (c.placed > 0) test::place_at_random(config, c.placed);
  return config;
}

/// A world of this case with EP ranks to an expert-parallel group, and the routing of this rank's tokens.
struct RoutingProblem : test::Ranks {
  RoutingProblem(const RoutingCase& c, int expert_parallel, Pieces pieces = Pieces::grains)
      : Ranks(config_of(c), MPI_COMM_WORLD, expert_parallel, {}),
        test(c),
        plan("test::plan", config, groups.layout, 0) {
    first.push_back(0);
    for (std::int64_t t = rows().first; t < rows().last; ++t) first.push_back(first.back() + choices_of(c, t));
    choice.first = on_device(first);
    choice.expert = on_device(of_choices<std::int32_t>([&](auto t, int j) { return expert_of(c, t, j); }));
    choice.weight = Vector<float>("weight", choice.capacity());
    choice.kept = on_device(of_choices<std::uint8_t>([&](auto t, int j) { return kept(c, t, j); }));
    begin_plan(pieces);
    plan->finish(test::queue());
    test::queue().fence("test::plan");
    plan->settle();
    plan->take_waited();  // what follows is timed by itself
  }
  void begin_plan(Pieces pieces = Pieces::grains) {
    plan->begin(test::queue(), plan->cut(choice, pieces), choice, pieces, {groups.expert, *exchanges.near}, 0);
  }

  /// (C) value(global token, choice) of this rank's choices; 0 past them.
  template <class T, class F>
  std::vector<T> of_choices(const F& value) const {
    const Range tokens = rows();
    std::vector<T> values(tokens.size() * test.top_k);
    for (std::int64_t t = 0; t < tokens.size(); ++t)
      for (int j = 0; j < choices_of(test, tokens.first + t); ++j) values[first[t] + j] = value(tokens.first + t, j);
    return values;
  }

  struct Row {
    int expert;
    std::int64_t token;
    int choice;
  };
  /// The experts at a place of the expert-parallel group.
  std::vector<int> experts_of(int place) const {
    return test::experts_at(config.layout, 0, test.experts, {place, groups.layout.expert_parallel});
  }
  /// The expert rows that this rank must get, in order, from the definition.
  std::vector<Row> expected_rows() const {
    std::vector<Row> expected;
    const Range grains = groups.layout.my_group_grains();
    for (const int e : experts_of(groups.layout.place()))
      for (std::int64_t t = grains.first * test.grain_tokens; t < grains.last * test.grain_tokens; ++t)
        for (int j = 0; j < choices_of(test, t); ++j)
          if (expert_of(test, t, j) == e && kept(test, t, j)) expected.push_back({e, t, j});
    return expected;
  }

  RoutingCase test;
  Placed<Plan> plan;
  Choice choice;
  std::vector<std::int32_t> first;  ///< (N + 1) choices before a token of this rank
};

}  // namespace switchyard::moe::testing
