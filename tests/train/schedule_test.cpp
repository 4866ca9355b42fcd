// The learning rate of every schedule at its corners.
#include "train/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace switchyard::train {
namespace {

TrainConfig config(Schedule schedule) {
  TrainConfig c;
  c.steps = 110, c.warmup = 10, c.learning_rate = 2.0, c.min_learning_rate = 0.5, c.schedule = schedule;
  return c;
}

TEST(Schedule, WarmsUpOnALine) {
  for (const Schedule s : {Schedule::constant, Schedule::cosine, Schedule::linear, Schedule::wsd}) {
    EXPECT_DOUBLE_EQ(learning_rate(config(s), 1), 0.2);
    EXPECT_DOUBLE_EQ(learning_rate(config(s), 5), 1.0);
    EXPECT_DOUBLE_EQ(learning_rate(config(s), 10), 2.0);
  }
}

TEST(Schedule, RoutersHaveAShareAndAWarmUpOfTheirOwn) {
  TrainConfig c = config(Schedule::wsd);
  for (const int step : {1, 10, 110}) EXPECT_EQ(router_share(c, step), 1.0) << step;
  c.router_rate = 0.25, c.router_warmup = 20;
  for (const auto& [step, want] : {std::pair{1, 0.0125}, {10, 0.125}, {20, 0.25}, {110, 0.25}})
    EXPECT_DOUBLE_EQ(router_share(c, step), want) << step;
}

TEST(Schedule, FallsToItsLeastValueAtTheLastStep) {
  EXPECT_DOUBLE_EQ(learning_rate(config(Schedule::constant), 110), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate(config(Schedule::cosine), 110), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(config(Schedule::linear), 110), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(config(Schedule::cosine), 60), 1.25);
  EXPECT_DOUBLE_EQ(learning_rate(config(Schedule::linear), 60), 1.25);
  EXPECT_DOUBLE_EQ(learning_rate(config(Schedule::linear), 35), 0.5 + 1.5 * 0.75);
  EXPECT_DOUBLE_EQ(learning_rate(config(Schedule::cosine), 35), 0.5 + 1.5 * 0.5 * (1.0 + std::sqrt(0.5)));
}

TEST(Schedule, StaysThenFalls) {
  TrainConfig c = config(Schedule::wsd);
  EXPECT_DOUBLE_EQ(learning_rate(c, 88), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate(c, 99), 1.25);
  EXPECT_DOUBLE_EQ(learning_rate(c, 110), 0.5);
  c.decay_share = 1.0;  // from the end of the warm-up on
  EXPECT_DOUBLE_EQ(learning_rate(c, 60), learning_rate(config(Schedule::linear), 60));
}

TEST(Schedule, NeverRisesAfterTheWarmUpNorLeavesItsRange) {
  for (const Schedule s : {Schedule::constant, Schedule::cosine, Schedule::linear, Schedule::wsd})
    for (std::int64_t step = 11; step <= 120; ++step) {
      EXPECT_LE(learning_rate(config(s), step), learning_rate(config(s), step - 1));
      EXPECT_GE(learning_rate(config(s), step), 0.5);
    }
}

// Of shares from the smallest number to all: the last steps of a share, and the last step of any.
TEST(Schedule, TheShortestFallEndsAtItsLeastValueToo) {
  TrainConfig c = config(Schedule::wsd);
  for (const double share : {5e-324, 1e-17, 1e-12, 1e-4, 0.009}) {
    c.decay_share = share;
    EXPECT_DOUBLE_EQ(learning_rate(c, 109), 2.0) << share;
    EXPECT_DOUBLE_EQ(learning_rate(c, 110), 0.5) << share;
    EXPECT_DOUBLE_EQ(learning_rate(c, 111), 0.5) << share;
  }
  c.decay_share = 0.02;  // 2.2 steps: 0.2 of them are over at the last but two
  EXPECT_NEAR(learning_rate(c, 108), 2.0 - 1.5 * 0.2 / 2.2, 1e-12);
}

// Every schedule that rules allow, the corners of each option among them.
TEST(Schedule, OfAnyOptionsIsWithinItsRangeAndEndsAtItsEnd) {
  for (const Schedule s : {Schedule::constant, Schedule::cosine, Schedule::linear, Schedule::wsd})
    for (const std::int64_t steps : {std::int64_t{1}, std::int64_t{2}, std::int64_t{7}, std::int64_t{1} << 40})
      for (const std::int64_t warmup : {std::int64_t{0}, std::int64_t{1}, steps / 2, steps - 1, steps})
        for (const double least : {0.0, 1e-300, 2.0})
          for (const double share : {5e-324, 1e-9, 0.5, 1.0}) {
            TrainConfig c;
            c.schedule = s, c.steps = steps, c.warmup = std::max<std::int64_t>(warmup, 0), c.decay_share = share;
            c.learning_rate = 2.0, c.min_learning_rate = least;
            for (const std::int64_t step : {std::int64_t{1}, c.warmup, steps / 2 + 1, steps - 1, steps, steps + 1}) {
              if (step < 1) continue;
              const double rate = learning_rate(c, step);
              ASSERT_TRUE(rate >= std::min(least, 2.0 / static_cast<double>(steps)) && rate <= 2.0)
                  << rate << " at " << step << " of " << steps << ", warm-up " << c.warmup << ", share " << share;
              if (step == steps) {
                EXPECT_DOUBLE_EQ(rate, s == Schedule::constant || c.warmup >= steps ? 2.0 : least);
              }
            }
          }
}

TEST(Schedule, WithoutWarmUpAndWithNothingElse) {
  TrainConfig c = config(Schedule::cosine);
  c.warmup = 0;
  EXPECT_LT(learning_rate(c, 1), 2.0);
  EXPECT_GT(learning_rate(c, 1), 1.99);
  c.warmup = c.steps;
  EXPECT_DOUBLE_EQ(learning_rate(c, c.steps), 2.0);
}

TEST(ScheduleNote, SaysAJumpAndNothingElse) {
  TrainConfig now = config(Schedule::cosine);
  now.steps = 240;
  const std::string note = schedule_note(120, now, 120);
  EXPECT_NE(note.find("ends at step 240, not 120"), std::string::npos) << note;
  EXPECT_NE(note.find("at step 120 to "), std::string::npos) << note;
  EXPECT_EQ(schedule_note(240, now, 60), "");
  EXPECT_EQ(schedule_note(120, now, 0), "");  // in the warm-up
  now.schedule = Schedule::constant;
  EXPECT_EQ(schedule_note(120, now, 120), "");
  now.schedule = Schedule::wsd;
  now.decay_share = 0.2;
  EXPECT_EQ(schedule_note(120, now, 60), "");   // constant in both
  EXPECT_NE(schedule_note(120, now, 110), "");  // the fall is taken back
}

}  // namespace
}  // namespace switchyard::train
