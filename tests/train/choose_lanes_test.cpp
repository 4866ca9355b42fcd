// ranks: 1 2 3 4
// Lanes that are measured: the fastest is taken, all ranks agree, and the run after it has the bits of one without.
#include "train/choose_lanes.hpp"

#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>
#include <map>

#include "base/activity.hpp"
#include "comm/collectives.hpp"
#include "config/lane_choice.hpp"
#include "train/bits.hpp"

namespace switchyard::train {
namespace {

Config left_open() {
  Config c;
  c.model = {.vocabulary = 64, .width = 16, .blocks = 2, .heads = 2, .context = 8, .hidden = 32};
  c.moe.experts = 4, c.moe.top_k = 2, c.moe.hidden = 16;
  c.train.batch = c.train.grains = 10, c.train.steps = 2;
  c.layout.schedule = ScheduleKind::interleaved, c.layout.lanes = 0;
  return c;
}

comm::Communicator world() { return comm::Communicator::duplicate(MPI_COMM_WORLD); }

TEST(ChooseLanes, TakesTheShortestStep) {
  LaneChoice choice = choose({{1, 0.1052}, {2, 0.0981}, {4, 0.0923}, {8, 0.0931}});
  EXPECT_EQ(choice.lanes, 4);
  EXPECT_EQ(choice.text, "lanes: 4 by measurement (1: 105.2 ms, 2: 98.1 ms, 4: 92.3 ms, 8: 93.1 ms)");
  EXPECT_EQ(choose({{1, 0.2}, {2, 0.2}}).lanes, 1) << "fewer where they are alike";
}

TEST(ChooseLanes, MeasuresEveryCandidateAndRanksAgree) {
  const auto ranks = world();
  const Config c = left_open();
  const LaneChoice choice = choose_lanes(c, ranks);
  std::vector<int> measured;
  for (const LaneChoice::Candidate& one : choice.measured) measured.push_back(one.lanes);
  if (ranks.size() == 1) {
    EXPECT_EQ(choice.lanes, 1);
    EXPECT_EQ(choice.text, "lanes: 1 without a measurement (no other lane has work to do while rows travel)");
  } else {
    EXPECT_EQ(measured, lane_candidates(c, ranks.size()));
    for (const LaneChoice::Candidate& one : choice.measured) EXPECT_GT(one.step, 0.0);
  }
  const std::string first = comm::broadcast(ranks, choice.text, 0);
  EXPECT_EQ(choice.text, first);
}

std::map<int, int> attentions;  // tasks of attention, by the lanes that are measured

// As many tasks of each kind as there are lanes, or it would be another step that is measured.
TEST(ChooseLanes, MeasuresStepsOfThatManyLanes) {
  static const auto record = std::make_unique<activity::Record>();
  activity::write_to(record.get());
  attentions.clear();
  Kokkos::Tools::Experimental::set_push_region_callback([](const char* name) {
    if (std::string(name) == "switchyard::attention") ++attentions[record->read().lanes];
  });
  const LaneChoice choice = choose_lanes(left_open(), world());
  Kokkos::Tools::Experimental::set_push_region_callback(nullptr);
  activity::write_to(nullptr);
  EXPECT_EQ(attentions.size(), choice.measured.size());
  for (const LaneChoice::Candidate& one : choice.measured) {
    EXPECT_GT(attentions[one.lanes], 0) << one.lanes;
    EXPECT_EQ(attentions[one.lanes], one.lanes * attentions[1]) << one.lanes;
  }
}

TEST(ChooseLanes, GivenOnesAreTaken) {
  Config c = left_open();
  c.layout.lanes = 4;
  const LaneChoice choice = settle_lanes(c, world(), "");
  EXPECT_EQ(choice.lanes, 4);
  EXPECT_EQ(c.layout.lanes, 4);
  EXPECT_EQ(choice.text, "");
}

TEST(ChooseLanes, ChangesNoBitOfTheRun) {
  Config c = left_open();
  const std::vector<std::string> without = trained_bits(with_lanes(c, 1), world());
  settle_lanes(c, world(), "");
  EXPECT_GT(c.layout.lanes, 0);
  EXPECT_EQ(trained_bits(c, world()), without);
}

// The run is to say what is wrong, not the measurement before it.
TEST(ChooseLanes, StepsThatAreNotFiniteAreLeftToTheRun) {
  const auto ranks = world();
  Config c = left_open();
  c.model.init_std = 1e30;
  const LaneChoice choice = choose_lanes(c, ranks);
  EXPECT_EQ(choice.lanes, 1);
  EXPECT_TRUE(choice.measured.empty());
  EXPECT_EQ(choice.text.find("lanes: 1 without a measurement ("), 0u) << choice.text;
  EXPECT_EQ(choice.text.ends_with("were not finite)"), ranks.size() > 1) << choice.text;
}

// A learning rate that breaks a model within a step does not break the measurement.
TEST(ChooseLanes, LearnsNothing) {
  const auto ranks = world();
  Config c = left_open();
  c.train.learning_rate = 1e30, c.train.clip = 0.0, c.train.warmup = 0;
  EXPECT_EQ(choose_lanes(c, ranks).measured.size(), ranks.size() > 1 ? lane_candidates(c, ranks.size()).size() : 0u);
}

TEST(ChooseLanes, IsARoundOfItsOwnForTheWatchdog) {
  const auto record = std::make_unique<activity::Record>();
  activity::write_to(record.get());
  const int before = record->read().round;
  const auto ranks = world();
  activity::begin(activity::Part::start, 0);
  const std::size_t measured = choose_lanes(left_open(), ranks).measured.size();
  EXPECT_EQ(record->read().round, before + (measured > 0 ? int(measured) + 1 : 0));
  EXPECT_EQ(record->read().lanes, 0);
  EXPECT_EQ(record->read().step, 0);
  activity::write_to(nullptr);
}

}  // namespace
}  // namespace switchyard::train
