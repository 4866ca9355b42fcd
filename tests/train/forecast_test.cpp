// A run that hides less than was predicted says so, not too often, and at its end.
#include "train/forecast.hpp"

#include <gtest/gtest.h>

namespace switchyard::train {
namespace {

constexpr double busy = 0.04, length = 0.125;

Forecast predicted(double hidden_share) { return {"m.yaml", 0.09, hidden_share, ""}; }

MeasuredStep hiding(double share) { return {length, busy, busy * (1.0 - share)}; }

/// The warnings of steps [first, last] that hide `share`, with the step of each.
std::vector<std::pair<int, std::string>> warnings(ForecastWatch& watch, int first, int last, double share) {
  std::vector<std::pair<int, std::string>> all;
  for (int step = first; step <= last; ++step)
    if (const std::string text = watch.add(step, hiding(share)); !text.empty()) all.emplace_back(step, text);
  return all;
}

TEST(ForecastTest, AShortfallIsSaidOnceForTwiceAsManySteps) {
  ForecastWatch watch(predicted(0.88));
  const auto all = warnings(watch, 1, 1000, 0.62);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].first, 103);
  EXPECT_EQ(all[0].second.find("hidden share η 0.62 over steps 4-103, plan predicted 0.88 (layout.machine m.yaml): "),
            0u)
      << all[0].second;
  EXPECT_EQ(all[1].first, 303);
  EXPECT_NE(all[1].second.find(" over steps 104-303, "), std::string::npos);
  EXPECT_EQ(all[2].first, 703);
}

TEST(ForecastTest, WhatIsNearThePredictionOrAboveItIsNoWarning) {
  for (const double share : {0.64, 0.88, 0.99}) {
    ForecastWatch watch(predicted(0.88));
    EXPECT_TRUE(warnings(watch, 1, 1000, share).empty()) << share;
    EXPECT_FALSE(watch.verdict().short_of_it);
  }
  ForecastWatch watch(predicted(0.88));
  EXPECT_FALSE(warnings(watch, 1, 1000, 0.62).empty());
}

// Steps before and after do not hide one another.
TEST(ForecastTest, AChangeIsSeenInItsOwnSteps) {
  ForecastWatch watch(predicted(0.88));
  EXPECT_TRUE(warnings(watch, 1, 503, 0.95).empty());
  const auto all = warnings(watch, 504, 803, 0.5);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_NE(all[0].second.find("0.50 over steps 504-603"), std::string::npos);
  EXPECT_TRUE(warnings(watch, 804, 1500, 0.95).empty());
}

TEST(ForecastTest, TheFirstStepsDoNotCount) {
  ForecastWatch watch(predicted(0.88));
  warnings(watch, 1, 3, 0.0);
  EXPECT_EQ(watch.verdict().text, "");
  warnings(watch, 4, 13, 0.9);
  EXPECT_EQ(watch.verdict().text,
            "steps 4-13 took 125.0 ms with a hidden share η of 0.90, plan predicted 90 ms and 0.88 (layout.machine "
            "m.yaml)");
  EXPECT_FALSE(watch.verdict().short_of_it);
  warnings(watch, 14, 33, 0.45);
  EXPECT_NE(watch.verdict().text.find("steps 4-33 took 125.0 ms with a hidden share η of 0.60"), std::string::npos);
  EXPECT_TRUE(watch.verdict().short_of_it) << "a run that is too short for a warning says it at its end";
}

TEST(ForecastTest, WithoutAPredictionOnlyWhyIsSaid) {
  EXPECT_EQ(ForecastWatch(predicted(0.5)).line(),
            "plan predicts steps of 90 ms with a hidden share η of 0.50 (layout.machine m.yaml)");
  ForecastWatch none({"m.yaml", 0.0, 1.0, "there is no far way"});
  EXPECT_FALSE(none.predicts());
  EXPECT_EQ(none.line(), "nothing is predicted: there is no far way (layout.machine m.yaml)");
  EXPECT_TRUE(warnings(none, 1, 1000, 0.0).empty());
  EXPECT_EQ(none.verdict().text, "");
}

}  // namespace
}  // namespace switchyard::train
