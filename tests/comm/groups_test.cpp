// ranks: 1 2 3 4 8
// The communicators of a run for every expert-parallel degree that divides the ranks.
#include "comm/groups.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "support/kinds.hpp"
#include "support/refusal.hpp"
#include "support/world.hpp"

namespace switchyard::comm {
namespace {

Communicator world() { return Communicator::duplicate(MPI_COMM_WORLD); }

TEST(Groups, RanksAreAsDocumented) {
  const int ranks = world().size();
  for (const int degree : test::degrees()) {
    const Groups groups(world(), test::expert_parallel(degree), 8);
    EXPECT_EQ(groups.layout.ranks, ranks);
    EXPECT_EQ(groups.layout.rank, groups.world.rank());
    EXPECT_EQ(groups.expert.size(), degree);
    EXPECT_EQ(groups.expert.rank(), groups.layout.place());
    EXPECT_EQ(groups.expert_data.size(), ranks / degree);
    EXPECT_EQ(groups.expert_data.rank(), groups.layout.group());
    const auto members = all_gather(groups.expert, std::vector<std::int64_t>{groups.world.rank()});
    for (int p = 0; p < degree; ++p) EXPECT_EQ(members[p], groups.layout.group() * degree + p);
  }
}

TEST(Groups, ZeroMeansAllRanks) {
  const Groups groups(world(), LayoutConfig{}, 3);
  EXPECT_EQ(groups.expert.size(), groups.world.size());
  EXPECT_EQ(groups.layout.grains, 3);
}

TEST(Groups, ADegreeThatDoesNotDivideIsAUsageError) {
  Communicator all = world();
  const int ranks = all.size();
  try {
    const Groups groups(std::move(all), test::expert_parallel(ranks + 1), 8);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::usage);
    EXPECT_NE(std::string(e.what()).find("layout.expert_parallel is " + std::to_string(ranks + 1)), std::string::npos);
  }
}

TEST(Nodes, ShareAnExpertParallelGroupEvenlyOrNot) {
  const auto share = [](std::vector<int> of, int ranks) { return Nodes{std::move(of)}.even_share(ranks); };
  EXPECT_EQ(share({0, 0, 0, 0}, 4), 4);
  EXPECT_EQ(share({0, 0, 1, 1}, 4), 2);
  EXPECT_EQ(share({0, 0, 1, 1}, 2), 2);
  EXPECT_EQ(share({0, 1, 2, 3}, 4), 1);
  EXPECT_EQ(share({0, 0, 1}, 3), 0) << "unequal parts";
  EXPECT_EQ(share({0, 1, 0, 1}, 4), 0) << "ranks that are not neighbours";
  EXPECT_EQ(share({0, 1, 0, 1}, 2), 1) << "every group alike";
  EXPECT_EQ(share({0, 0, 0, 1, 1, 1}, 2), 0) << "another group is cut otherwise";
  EXPECT_EQ(share({0, 0, 1, 2}, 4), 0);
}

TEST(Nodes, AreThoseOfTheOptionOrOneMachine) {
  const Communicator all = world();
  for (int of_node = 1; of_node <= all.size() + 1; ++of_node) {
    const Nodes nodes = find_nodes(all, of_node);
    EXPECT_EQ(nodes.count(), (all.size() + of_node - 1) / of_node);
    for (int r = 0; r < all.size(); ++r) EXPECT_EQ(nodes.of[r], r / of_node);
  }
  EXPECT_EQ(find_nodes(all, 0).count(), 1);
}

/// Of a group of `degree` with so many of its ranks on a node.
void expect_rows_and_columns(const Groups& groups, int degree, int of_node) {
  EXPECT_EQ(groups.by_nodes->near.size(), of_node);
  EXPECT_EQ(groups.by_nodes->near.rank(), groups.layout.place() % of_node);
  EXPECT_EQ(groups.by_nodes->rail.size(), degree / of_node);
  EXPECT_EQ(groups.by_nodes->rail.rank(), groups.layout.place() / of_node);
  for (int r = 0; r < of_node; ++r) EXPECT_TRUE(groups.on_my_node(groups.by_nodes->near, r));
  for (int n = 0; n < degree / of_node; ++n)
    EXPECT_EQ(groups.on_my_node(groups.by_nodes->rail, n), n == groups.by_nodes->rail.rank());
}

TEST(Groups, ByNodesAreRowsAndColumnsOfAGroup) {
  const int ranks = world().size();
  for (const ExchangeKind exchange : {ExchangeKind::node, ExchangeKind::gather})
    for (const int degree : test::degrees())
      for (int of_node = 1; of_node <= ranks; ++of_node) {
        LayoutConfig options = test::expert_parallel(degree);
        options.exchange = exchange, options.ranks_per_node = of_node;
        const std::string refused = test::refusal([&] {
          const Groups groups(world(), options, 8);
          ASSERT_EQ(groups.by_nodes.has_value(), of_node < degree || (exchange == ExchangeKind::gather && degree > 1));
          if (groups.by_nodes) expect_rows_and_columns(groups, degree, std::min(of_node, degree));
        });
        const bool even = degree % of_node == 0 || of_node % degree == 0;
        EXPECT_EQ(refused.empty(), even) << ranks << " ranks, EP " << degree << ", " << of_node << ": " << refused;
        EXPECT_EQ(refused.find("layout.exchange is " + test::name_of(exchange)) != std::string::npos, !even) << refused;
      }
}

TEST(Groups, RanksThatShareExpertsAreNeighboursOnANode) {
  const int ranks = world().size();
  for (int team = 1; team <= ranks + 1; ++team)
    for (const int of_node : test::degrees()) {
      LayoutConfig options = test::expert_parallel(0);
      options.exchange = ExchangeKind::node, options.ranks_per_node = of_node, options.expert_tensor_parallel = team;
      const std::string refused =
          test::refusal([&] { EXPECT_EQ(Groups(world(), options, 8).layout.teams(), ranks / team); });
      EXPECT_EQ(refused.empty(), of_node % team == 0) << team << " on nodes of " << of_node << ": " << refused;
      EXPECT_EQ(refused.find("layout.expert_tensor_parallel is ") != std::string::npos, of_node % team != 0) << refused;
    }
}

}  // namespace
}  // namespace switchyard::comm
