// The learning rate of every schedule at its corners.
#include "train/schedule.hpp"

#include <gtest/gtest.h>

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
