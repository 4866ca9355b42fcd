// Who holds what: every grain and every expert exactly once, and what a rank is told agrees with what others are told
// of it.
#include "config/layout.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "config/architecture.hpp"
#include "config/estimate.hpp"
#include "support/placement.hpp"
#include "support/world.hpp"

namespace switchyard {
namespace {

TEST(Layout, SplitEvenlyCoversAndBalances) {
  for (int total : {0, 1, 2, 7, 8, 257})
    for (int parts : {1, 2, 3, 5, 8, 13}) {
      std::int64_t at = 0;
      for (int p = 0; p < parts; ++p) {
        const Range r = split_evenly(total, parts, p);
        EXPECT_EQ(r.first, at);
        EXPECT_GE(r.size(), total / parts);
        EXPECT_LE(r.size(), (total + parts - 1) / parts);
        at = r.last;
      }
      EXPECT_EQ(at, total);
    }
}

TEST(Layout, ExpertGroupsAreContiguousRanks) {
  const Layout layout{.ranks = 6, .rank = 4, .expert_parallel = 3, .grains = 8};
  EXPECT_EQ(layout.groups(), 2);
  EXPECT_EQ(layout.group(), 1);
  EXPECT_EQ(layout.place(), 1);
  EXPECT_EQ(layout.group_of(2), 0);
  EXPECT_EQ(layout.place_of(3), 0);
}

TEST(Layout, GrainsOfAGroupAreThoseOfItsRanks) {
  for (int ranks : {1, 2, 3, 4, 5, 6, 8, 12})
    for (const int degree : test::degrees(ranks))
      for (int grains : {1, 2, 3, 8, 13}) {
        Layout layout{.ranks = ranks, .rank = 0, .expert_parallel = degree, .grains = grains};
        std::int64_t at = 0;
        for (int g = 0; g < layout.groups(); ++g) {
          EXPECT_EQ(layout.group_grains(g).first, at);
          std::int64_t held = 0;
          for (int p = 0; p < degree; ++p) held += layout.grains_of(g * degree + p).size();
          EXPECT_EQ(layout.group_grains(g).size(), held);
          at = layout.group_grains(g).last;
        }
        EXPECT_EQ(at, grains);
      }
}

TEST(Layout, NodesAreThoseOfTheGrains) {
  const Layout layout{.ranks = 3, .rank = 1, .expert_parallel = 1, .grains = 8};  // grains 0 1 | 2 3 4 | 5 6 7
  EXPECT_EQ(layout.my_nodes(), (std::vector<TreeNode>{{2, 2}, {4, 1}}));
  const Layout whole{.ranks = 3, .rank = 1, .expert_parallel = 3, .grains = 8};
  EXPECT_EQ(whole.my_group_nodes(), (std::vector<TreeNode>{{0, 8}}));
  const Layout idle{.ranks = 4, .rank = 0, .expert_parallel = 2, .grains = 1};  // the last rank holds the only grain
  EXPECT_TRUE(idle.my_nodes().empty());
  EXPECT_TRUE(idle.my_group_nodes().empty());
}

using Nodes = std::vector<std::vector<TreeNode>>;

/// One node each for those holders that have `grains`, numbered without a gap.
void expect_one_each(const Nodes& nodes, const std::vector<Range>& grains) {
  int next = 0;
  for (std::size_t h = 0; h < grains.size(); ++h) {
    const bool holds = grains[h].size() > 0;
    EXPECT_EQ(nodes[h], std::vector(holds, TreeNode{next, 1})) << h;
    next += holds;
  }
}

TEST(Layout, OfRunHasOneNodeAHolderOfGrains) {
  for (int ranks : {1, 2, 3, 4, 6, 8})
    for (const int degree : test::degrees(ranks))
      for (int grains : {1, 2, 4, 7, 13}) {
        const Layout run{ranks, 0, degree, grains, Determinism::run}, layout = run.of_statistics();
        std::vector<Range> of_ranks, of_groups;
        for (int r = 0; r < ranks; ++r) of_ranks.push_back(run.grains_of(r));
        for (int g = 0; g < run.groups(); ++g) of_groups.push_back(run.group_grains(g));
        expect_one_each(run.nodes_of_ranks(), of_ranks);
        expect_one_each(run.nodes_of_groups(), of_groups);
        EXPECT_EQ(layout.nodes_of_ranks(), (Layout{ranks, 0, degree, grains}.nodes_of_ranks()));
        for (int g = 0; g < layout.groups(); ++g) EXPECT_EQ(layout.pieces_of(g, layout.groups()), of_groups[g]);
      }
}

// Lanes have the grains of their rank and pieces of these, each once and in order, also where there are too few.
TEST(Layout, LanesHaveAllGrainsAndPieces) {
  for (const Determinism determinism : {Determinism::layout, Determinism::run})
    for (int ranks : {1, 2, 3, 4})
      for (int grains : {1, 3, 8, 13})
        for (int lanes : {1, 2, 4, 8}) {
          Layout of{ranks, 0, ranks, grains, determinism, lanes};
          std::int64_t grain = 0, piece = 0, in_groups = 0;
          for (of.rank = 0; of.rank < ranks; ++of.rank) {
            for (of.lane = 0; of.lane < lanes; ++of.lane) {
              EXPECT_EQ(of.my_lane_grains().first, grain);
              EXPECT_EQ(of.my_lane_pieces().first, piece);
              grain = of.my_lane_grains().last, piece = of.my_lane_pieces().last;
              EXPECT_EQ(of.my_lane_grains().size() > 0, of.my_lane_pieces().size() > 0);
              if (of.rank == 0) in_groups += of.group_lane_grains();
            }
            EXPECT_EQ(of.my_pieces().last, piece);
          }
          EXPECT_EQ(grain, grains);
          EXPECT_EQ(in_groups, grains);
          EXPECT_EQ(piece, of.by_grains(ranks) ? grains : ranks * lanes);
        }
}

TEST(Layout, EveryChunkOfAnExpertHasOnePlace) {
  for (const int team : {1, 2, 4})
    for (const int teams : {1, 2, 3, 5})
      for (const int experts : {1, 2, 3, 8, 257}) {
        TensorSpec tensor;
        tensor.placement = Placement::expert, tensor.chunks = 4, tensor.shape = {experts * 4, 3, 5};
        const int degree = team * teams;
        const Layout layout{
            .ranks = degree, .rank = 0, .expert_parallel = degree, .grains = 1, .expert_tensor_parallel = team};
        std::vector<int> holders(tensor.units(), 0);
        for (int p = 0; p < degree; ++p)
          for (const std::int64_t unit : held_units(tensor, layout, p)) {
            ++holders[unit];
            EXPECT_EQ(place_of_unit(tensor, layout, unit), p) << experts << " in teams of " << team;
            EXPECT_EQ(layout.place_of_expert(0, static_cast<int>(unit / 4), experts), p / team * team);
          }
        EXPECT_EQ(holders, std::vector<int>(tensor.units(), 1));
      }
}

TEST(Layout, EveryExpertHasOnePlace) {
  for (int degree : {1, 2, 3, 5, 8})
    for (int experts : {1, 2, 3, 8, 256, 257, 512}) {
      const Layout layout{.ranks = degree, .rank = 0, .expert_parallel = degree, .grains = 1};
      std::vector<int> holders(experts, 0);
      for (int p = 0; p < degree; ++p)
        for (std::int64_t e = layout.experts_of(p, experts).first; e < layout.experts_of(p, experts).last; ++e) {
          ++holders[e];
          EXPECT_EQ(layout.expert_at(0, e), e);
          EXPECT_EQ(layout.place_of_expert(0, static_cast<int>(e), experts), p) << experts << " on " << degree;
        }
      EXPECT_EQ(holders, std::vector<int>(experts, 1));
    }
}

/// The layout of a model whose block 1 has E experts and block 2 has 3, in random orders.
std::pair<Layout, Config> placed_layout(int degree, int experts) {
  Config config;
  config.model.blocks = 3, config.moe.experts_per_block = {0, experts, 3}, config.train.grains = 1;
  test::place_at_random(config, static_cast<unsigned>(degree * 1000 + experts));
  return {layout_of(config, degree), config};
}

TEST(Layout, APlacementSaysWhereEachExpertLives) {
  for (const int degree : {1, 2, 3, 5, 8})
    for (const int experts : {1, 2, 3, 8, 256, 257, 512}) {
      const auto [layout, config] = placed_layout(degree, experts);
      for (const auto& [block, all] : {std::pair(1, experts), std::pair(2, 3)}) {
        int held = 0;
        for (int p = 0; p < degree; ++p) {
          const Range seats = layout.experts_of(p, all);
          std::vector<int> here;
          for (std::int64_t s = seats.first; s < seats.last; ++s) here.push_back(layout.expert_at(block, s));
          EXPECT_EQ(here, test::experts_at(config.layout, block, all, {p, degree})) << all << " on " << degree;
          for (const int e : here) EXPECT_EQ(layout.place_of_expert(block, e, all), p);
          held += static_cast<int>(here.size());
        }
        EXPECT_EQ(held, all);
      }
      EXPECT_ANY_THROW(layout.expert_at(0, 0)) << "of a block without experts";
    }
}

// Experts that change places within their node stay in the sums of that node; one that leaves it does not.
TEST(Layout, APlacementStaysWithinNodesOrNot) {
  Config config;
  config.model.blocks = 2, config.moe.experts_per_block = {8, 8}, config.train.grains = 4;
  config.layout.exchange = ExchangeKind::node, config.layout.ranks_per_node = 2, config.layout.placement = "file";
  std::vector<int> within{3, 1, 2, 0, 7, 6, 5, 4}, across{0, 1, 2, 4, 3, 5, 6, 7};
  const auto stays = [&](const std::vector<int>& last) {
    config.layout.seat_orders = std::make_shared<const SeatOrders>(SeatOrders{{{0, within}, {1, last}}, ""});
    const Layout layout = layout_of(config, 4);
    std::vector<bool> all;
    for (const Leg& leg : layout.legs()) all.push_back(layout.seats->keeps(leg.width));
    return all;
  };
  using Stays = std::vector<bool>;
  EXPECT_EQ(stays(within), Stays{true});
  EXPECT_EQ(stays(across), Stays{false});
  config.layout.exchange = ExchangeKind::gather;
  EXPECT_EQ(stays(within), (Stays{true, false})) << "on its node, but on another rank";
  EXPECT_EQ(stays({1, 0, 2, 3, 4, 5, 7, 6}), (Stays{true, false})) << "the other mixture";
  within = {1, 0, 2, 3, 4, 5, 7, 6};
  EXPECT_EQ(stays(within), (Stays{true, true}));
  config.layout.exchange = ExchangeKind::pairwise;
  EXPECT_TRUE(stays(across).empty()) << "nobody asks";
}

/// The ways of eight places on nodes of `near`.
Layout ways(int near, bool gathered) {
  Layout layout{16, 11, 8, 16};
  layout.node_places = near, layout.gathered = gathered;
  return layout;
}

// Of place 3 of 8.
TEST(Layout, RowsGoOverTheLegsOfTheirWay) {
  const auto legs = [](int near, bool gathered) {
    std::string all;
    for (const Leg& leg : ways(near, gathered).legs())
      all += (leg.rail ? "rail " : "near ") + std::to_string(leg.width) + ": " + std::to_string(leg.parts.first) + "-" +
             std::to_string(leg.parts.last) + " ";
    return all;
  };
  EXPECT_EQ(legs(0, false), "");
  EXPECT_EQ(legs(2, false), "rail 2: 0-4 ");
  EXPECT_EQ(legs(8, false), "") << "one node";
  EXPECT_EQ(legs(2, true), "rail 2: 0-4 near 1: 2-4 ");
  EXPECT_EQ(legs(1, true), "rail 1: 0-8 ") << "each rank a node";
  EXPECT_EQ(legs(8, true), "near 1: 0-8 ") << "one node";
}

// What `check` reckons with, before MPI finds the nodes: without a number one node, of which there may be more than
// ranks.
TEST(Layout, NodesAreAsLargeAsTheOptionSaysAndTheRanksAllow) {
  const auto places = [](ExchangeKind exchange, int ranks_per_node, int expert_parallel) {
    Config config;
    config.layout.exchange = exchange, config.layout.ranks_per_node = ranks_per_node;
    config.layout.expert_parallel = expert_parallel;
    const Layout layout = layout_of(config, 4);
    return std::pair(layout.node_places, static_cast<int>(layout.legs().size()));
  };
  using Found = std::pair<int, int>;
  for (const int near : {0, 4, 6}) {
    EXPECT_EQ(places(ExchangeKind::gather, near, 0), (Found{4, 1})) << near;
    EXPECT_EQ(places(ExchangeKind::gather, near, 2), (Found{2, 1})) << near;
    EXPECT_EQ(places(ExchangeKind::node, near, 0).second, 0) << near;
  }
  EXPECT_EQ(places(ExchangeKind::gather, 2, 0), (Found{2, 2}));
  EXPECT_EQ(places(ExchangeKind::gather, 1, 0), (Found{1, 1}));
  EXPECT_EQ(places(ExchangeKind::node, 2, 0), (Found{2, 1}));
  EXPECT_EQ(places(ExchangeKind::pairwise, 2, 0), (Found{0, 0}));
}

/// Places whose tokens place `at` has after the last leg.
std::vector<int> sources(const Layout& layout, int at) {
  std::vector<int> all;
  layout.for_sources(static_cast<int>(layout.legs().size()), at, [&](int p) { all.push_back(p); });
  return all;
}

TEST(Layout, LegsBringTheTokensOfAllToThoseWhoHandThemOn) {
  using Places = std::vector<int>;
  EXPECT_EQ(sources(ways(0, false), 3), Places{3});
  EXPECT_EQ(sources(ways(2, false), 3), (Places{1, 3, 5, 7}));
  EXPECT_EQ(sources(ways(2, true), 3), (Places{0, 2, 4, 6, 1, 3, 5, 7}));
  EXPECT_EQ(sources(ways(8, true), 3), (Places{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(ways(2, false).near_places(), (Range{2, 4}));
  EXPECT_EQ(ways(2, true).near_places(), (Range{3, 4}));
  for (const int near : {1, 2, 4, 8}) {  // what those get who hand rows to experts of one place is everything, once
    const Layout layout = ways(near, false);
    Places all;
    for (std::int64_t p = layout.near_places().first; p < layout.near_places().last; ++p)
      for (const int source : sources(layout, static_cast<int>(p))) all.push_back(source);
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, (Places{0, 1, 2, 3, 4, 5, 6, 7})) << near;
  }
}

TEST(Layout, AFileThatNobodyReadIsADefect) {
  Config config;
  config.layout.placement = "file";
  EXPECT_ANY_THROW(layout_of(config, 2));
}

}  // namespace
}  // namespace switchyard
