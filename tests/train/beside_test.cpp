// ranks: 1 2 3
// Gradients are summed beside the rest of the backward pass: what is polled between tasks, and while they compute, is
// there before anybody waits for it.
#include <gtest/gtest.h>

#include <algorithm>

#include "config/values.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

using schedule::Stage;

/// Head and embedding are buckets of their own, each of several rounds of a sum; every task is late by up to 30 ms.
Config config() {
  Config c;
  c.model = {.vocabulary = 65600, .width = 64, .blocks = 6, .heads = 2, .context = 8, .hidden = 64};
  c.model.tied = false, c.moe.experts = 0;
  c.train.batch = 6, c.train.grains = 6, c.layout.delay = 30e3;
  return c;
}

std::size_t place_of(const Machine& m, Stage stage) {
  const auto found =
      std::find_if(m.tasks.begin(), m.tasks.end(), [stage](const schedule::Task& t) { return t.stage == stage; });
  return static_cast<std::size_t>(found - m.tasks.begin());
}

TEST(Beside, TheSumsOfAnEarlyBucketAreThereBeforeTheyAreWaitedFor) {
  Machine m(config(), comm::Communicator::duplicate(MPI_COMM_WORLD));
  ASSERT_EQ(m.buckets.size(), 2u);
  const StepResult result = train_step(m, synthetic_batch(m.config, m.groups.layout, 1), 1);
  const std::size_t begin = place_of(m, Stage::reduce), finish = place_of(m, Stage::reduce_finish);
  const Interval& first = result.intervals[begin];
  const bool alone = m.groups.world.size() == 1;
  EXPECT_EQ(first.travel.start > 0.0, !alone);
  EXPECT_EQ(first.bytes, first.travel.bytes);
  if (alone) return;
  EXPECT_GE(first.travel.start, first.start);
  EXPECT_GT(first.travel.end, first.end) << "it comes back before it has gone";
  EXPECT_LE(first.travel.end, result.intervals[finish].start) << "nothing moved before somebody waited";
  EXPECT_EQ(first.travel.waited, 0.0);
  const Interval& last = result.intervals[finish - 1];
  EXPECT_EQ(m.tasks[finish - 1].stage, Stage::reduce);
  EXPECT_GT(last.travel.waited, 0.0) << "the last one has nothing beside it";
  EXPECT_LE(last.travel.end, result.intervals[finish].end + 1e-6);
}

}  // namespace
}  // namespace switchyard::train
