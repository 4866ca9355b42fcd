// ranks: 1 2 3 4 8
// The communicators of a run for every expert-parallel degree that divides the ranks.
#include "comm/groups.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/check.hpp"
#include "comm/collectives.hpp"
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

}  // namespace
}  // namespace switchyard::comm
