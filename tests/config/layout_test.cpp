// Who holds what: every grain and every expert exactly once, and what a rank is told agrees with what others are told
// of it.
#include "config/layout.hpp"

#include <gtest/gtest.h>

#include <numeric>

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

TEST(Layout, EveryExpertHasOnePlace) {
  for (int degree : {1, 2, 3, 5, 8})
    for (int experts : {1, 2, 3, 8, 256, 257, 512}) {
      const Layout layout{.ranks = degree, .rank = 0, .expert_parallel = degree, .grains = 1};
      std::vector<int> holders(experts, 0);
      for (int p = 0; p < degree; ++p)
        for (std::int64_t e = layout.experts_of(p, experts).first; e < layout.experts_of(p, experts).last; ++e) {
          ++holders[e];
          EXPECT_EQ(layout.place_of_expert(static_cast<int>(e), experts), p) << experts << " on " << degree;
        }
      EXPECT_EQ(holders, std::vector<int>(experts, 1));
    }
}

}  // namespace
}  // namespace switchyard
