// The median and the tail of hops against all of them in order, and what the log says of the longest.
#include "train/hop_times.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "config/architecture.hpp"
#include "schedule/generators.hpp"

namespace switchyard::train {
namespace {

using schedule::Direction;
using schedule::HopKind;
using schedule::Stage;

TEST(Histogram, HasAQuantileWithinOnePercent) {
  std::mt19937_64 random(3);
  for (const std::size_t count : {1u, 2u, 3u, 100u, 101u, 20000u}) {
    std::lognormal_distribution<double> draw(-7.0, 2.0);
    std::vector<double> all(count);
    Histogram histogram;
    for (double& seconds : all) histogram.add(seconds = draw(random));
    std::sort(all.begin(), all.end());
    for (const double share : {0.0, 0.25, 0.5, 0.99, 1.0}) {
      const double exact = all[std::min(count - 1, static_cast<std::size_t>(share * static_cast<double>(count)))];
      EXPECT_NEAR(histogram.quantile(share), exact, 0.01 * exact) << share << " of " << count;
    }
    const HopTail tail = tail_of(all);
    EXPECT_EQ(tail.p50, all[count / 2]) << count;
    EXPECT_EQ(tail.p99, all[std::min(count - 1, static_cast<std::size_t>(0.99 * static_cast<double>(count)))]);
    EXPECT_EQ(tail.max, all.back());
  }
}

TEST(Histogram, KeepsWhatIsBeyondItsEnds) {
  Histogram histogram;
  histogram.add(0.0), histogram.add(1e-12), histogram.add(1e9);
  EXPECT_EQ(histogram.count(), 3);
  EXPECT_NEAR(histogram.quantile(0.0), 1e-9, 1e-11);
  EXPECT_GT(histogram.quantile(1.0), 1000.0);
  EXPECT_EQ(Histogram().quantile(0.5), 0.0);
  EXPECT_EQ(tail_of({}).max, 0.0);
}

Config config_of(ExchangeKind exchange) {
  Config c;
  c.model.blocks = 2, c.moe.experts = 4, c.layout.exchange = exchange;
  return c;
}

TEST(Hops, AreThoseOfTheTasksThatSendRows) {
  const Config straight = config_of(ExchangeKind::pairwise), by_nodes = config_of(ExchangeKind::node);
  const auto tasks = schedule::make_tasks(straight);
  const auto hops = schedule::hops_of(tasks, straight);
  const std::size_t sums = gradient_buckets(straight).size();
  ASSERT_EQ(hops.size(), 8u + sums) << "four journeys of each of two blocks, and the gradients of each bucket";
  for (std::size_t i = 0; i < hops.size(); ++i) {
    const Stage stage = tasks[static_cast<std::size_t>(hops[i].task)].stage;
    EXPECT_TRUE(stage == Stage::dispatch || stage == Stage::combine || stage == Stage::reduce) << i;
    EXPECT_EQ(stage == Stage::reduce, hops[i].kind == HopKind::sums) << i;
    EXPECT_TRUE(i == 0 || hops[i].task > hops[i - 1].task) << i;
  }
  EXPECT_EQ(schedule::hops_of(tasks, by_nodes).size(), 24u + sums);
  Config dense = straight;
  dense.moe.experts = 0;
  for (const schedule::TaskHop& hop : schedule::hops_of(schedule::make_tasks(dense), dense))
    EXPECT_EQ(hop.kind, HopKind::sums);
}

/// Two hops a rank.
class OfTwoRanks : public ::testing::Test {
 protected:
  HopTimes times{
      {{Stage::dispatch, Direction::forward, 3, 1, 0, {}}, {Stage::combine, Direction::backward, 5, 0, 0, {}}},
      {{0, HopKind::rows}, {1, HopKind::near}}};
};

TEST_F(OfTwoRanks, TheTailIsOfAllStepsSinceTheLastLine) {
  EXPECT_EQ(times.tail(), "");
  EXPECT_EQ(times.outlier(), "");
  times.add(7, {0.0, 0.0, 0.0, 0.0});
  EXPECT_EQ(times.tail(), "") << "nothing went anywhere";
  const HopTail step = times.add(8, {1e-3, 1e-3, 0.0, 8e-3});
  EXPECT_EQ(step.p50, 1e-3);
  EXPECT_EQ(step.max, 8e-3);
  times.add(9, {4e-3, 1e-3, 1e-3, 2e-3});
  EXPECT_TRUE(times.tail().ends_with(" hop_max_ms=8")) << times.tail();
  EXPECT_EQ(times.outlier(), "") << "eight times the median";
  times.clear();
  EXPECT_EQ(times.tail(), "");
}

TEST_F(OfTwoRanks, OneThatStandsOutIsNamed) {
  times.add(41, {1e-3, 1e-3, 1e-3, 1e-3});
  times.add(42, {1e-3, 1e-3, 1e-3, 25e-3});
  EXPECT_EQ(times.outlier(),
            "slow journey: combine backward of block 5, lane 0 (near), took 25 ms on rank 1 in step 42, 25 times the "
            "median of the 4 hops of that kind since the last line");
  times.clear();
  times.add(43, {12e-3, 1e-3, 1e-3, 0.0});
  times.add(44, {1e-3, 12e-3, 1e-3, 12e-3});  // the others of their kind take as long
  EXPECT_EQ(
      times.outlier(),
      "slow journey: dispatch forward of block 3, lane 1, took 12 ms on rank 0 in step 43, 12 times the median of "
      "the 4 hops of that kind since the last line");
}

}  // namespace
}  // namespace switchyard::train
