// Which numbers of lanes a run measures where it is left to choose.
#include "config/lane_choice.hpp"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

Config left_open() {
  Config c;
  c.train.batch = c.train.grains = 16;
  c.layout.schedule = ScheduleKind::interleaved, c.layout.lanes = 0;
  return c;
}

using Lanes = std::vector<int>;

TEST(LaneChoice, IsBetweenPowersOfTwoUpToTheGrainsOfARank) {
  Config c = left_open();
  EXPECT_EQ(lane_candidates(c, 2), (Lanes{1, 2, 4, 8}));
  EXPECT_EQ(lane_candidates(c, 5), (Lanes{1, 2, 4})) << "a rank with four";
  EXPECT_EQ(lane_candidates(c, 11), (Lanes{1, 2}));
  EXPECT_EQ(lane_candidates(c, 16), (Lanes{1}));
  EXPECT_EQ(lane_candidates(c, 40), (Lanes{1})) << "ranks without a grain";
  c.layout.waves = 4;
  EXPECT_EQ(lane_candidates(c, 2), (Lanes{4, 8})) << "a wave has a lane";
  EXPECT_EQ(lane_candidates(c, 11), (Lanes{4})) << "of which some have no grain";
  c.layout.waves = 1;
  c.train.grains = 1 << 14;
  EXPECT_EQ(lane_candidates(c, 2).back(), max_lanes);
}

TEST(LaneChoice, IsNoneWhereLanesHaveNothingToHide) {
  Config c = left_open();
  c.layout.schedule = ScheduleKind::serial;
  EXPECT_EQ(lane_candidates(c, 2), (Lanes{1}));
  c = left_open(), c.layout.expert_parallel = 1;
  EXPECT_EQ(lane_candidates(c, 2), (Lanes{1})) << "no rows travel";
  EXPECT_EQ(lane_candidates(left_open(), 1), (Lanes{1}));
  c = left_open(), c.moe.experts_per_block.assign(static_cast<std::size_t>(c.model.blocks), 0);
  EXPECT_EQ(lane_candidates(c, 2), (Lanes{1})) << "no experts";
  c.layout.waves = 4;
  EXPECT_EQ(lane_candidates(c, 2), (Lanes{4})) << "no experts, but a lane for each wave";
  c = left_open(), c.layout.lanes = 32;
  EXPECT_EQ(lane_candidates(c, 2), (Lanes{32})) << "as given";
}

}  // namespace
}  // namespace switchyard
