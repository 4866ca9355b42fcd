// What is asked for between pieces of work: not more often than it should be, in one thread, and never into a kernel's
// arms.
#include "base/polling.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

#include "base/clock.hpp"

namespace switchyard {
namespace {

TEST(Polling, TicksCallItAndOnlyWhileItLives) {
  int calls = 0;
  tick();
  {
    Polling polling([&] { return ++calls, true; }, 0.0);
    tick();
    tick();
    EXPECT_EQ(calls, 2);
    polling.now();
    EXPECT_EQ(calls, 3);
  }
  tick();
  EXPECT_EQ(calls, 3);
}

TEST(Polling, WaitsForItsInterval) {
  int calls = 0;
  Polling polling([&] { return ++calls, true; }, 3600.0);
  for (int i = 0; i < 100; ++i) tick();
  EXPECT_EQ(calls, 1);
  polling.now();  // whatever the interval
  EXPECT_EQ(calls, 2);
}

TEST(Polling, OtherThreadsDoNotPoll) {
  int calls = 0;
  Polling polling([&] { return ++calls, true; }, 0.0);
  std::thread([] { tick(); }).join();
  EXPECT_EQ(calls, 0);
}

TEST(Polling, WhatItThrowsComesOutOfNow) {
  Polling polling([]() -> bool { throw std::runtime_error("lost"); }, 0.0);
  EXPECT_NO_THROW(tick());
  EXPECT_THROW(polling.now(), std::runtime_error);
}

TEST(Polling, APollThatTicksDoesNotPollAgain) {
  int calls = 0;
  Polling polling(
      [&] {
        ++calls;
        tick();
        return true;
      },
      0.0);
  tick();
  EXPECT_EQ(calls, 1);
}

TEST(Polling, TheInnermostIsAsked) {
  int outer = 0, inner = 0;
  Polling first([&] { return ++outer, true; }, 0.0);
  {
    Polling second([&] { return ++inner, true; }, 0.0);
    tick();
  }
  tick();
  EXPECT_EQ(outer, 1);
  EXPECT_EQ(inner, 1);
}

void spin(double seconds) {
  for (const double start = now(); now() - start < seconds;) {
  }
}

TEST(Pace, IsAHundredTimesALookWithinBounds) {
  EXPECT_EQ(measured_interval(0.0), 5e-6);
  EXPECT_NEAR(measured_interval(2e-6), 2e-4, 1e-12);
  EXPECT_EQ(measured_interval(1e-3), 1e-3);
  Pace pace;
  EXPECT_EQ(pace.interval(), Pace::before_looks);
  pace.looked(2e-6);
  EXPECT_NEAR(pace.interval(), 2e-4, 1e-12);
}

TEST(Pace, IsOfWhatLooksTakeNowAndNotOfThoseThatWereInterrupted) {
  Pace pace;
  for (int i = 0; i < 15; ++i) pace.looked(i % 3 == 1 ? 0.5 : 1e-6);
  EXPECT_NEAR(pace.interval(), 1e-4, 1e-12);
  for (int i = 0; i < 15; ++i) pace.looked(4e-6);  // the link has become slower
  EXPECT_NEAR(pace.interval(), 4e-4, 1e-12);
}

TEST(Pace, AFixedOneLearnsNothing) {
  Pace pace(50e-6);
  pace.looked(1.0);
  EXPECT_EQ(pace.interval(), 50e-6);
  EXPECT_FALSE(pace.wants_look());
  int calls = 0;
  Polling polling([&] { return ++calls, true; }, pace);
  polling.now();
  EXPECT_EQ(calls, 1) << "and nothing is asked twice to be timed";
}

// Every poll takes 4 us: what is asked for between blocks of work is a hundredth of the time, however short the blocks.
TEST(Pace, KeepsASlowPollToAHundredthOfTheTime) {
  Pace pace;
  int calls = 0;
  Polling polling([&] { return ++calls, spin(4e-6), true; }, pace);
  const double start = now();
  while (now() - start < 0.05) tick();
  const double took = now() - start;
  EXPECT_GE(pace.interval(), 3.9e-4);
  EXPECT_LE(pace.interval(), 1e-3);
  EXPECT_LE(calls, took / 3.9e-4 * 9 / 8 + 20) << "one of eight is asked twice";
  EXPECT_GE(calls, 10) << "and it goes on";
}

// What only looks whether anything is under way must not set the pace of what looks after rows.
TEST(Pace, DoesNotLearnWhileNothingIsUnderWay) {
  Pace pace;
  int calls = 0;
  bool under_way = false;
  Polling polling([&] { return ++calls, spin(3e-6), under_way; }, pace);
  for (int i = 0; i < 100; ++i) polling.now();
  EXPECT_EQ(calls, 100);
  EXPECT_EQ(pace.interval(), Pace::before_looks);
  under_way = true;
  polling.now();
  EXPECT_EQ(calls, 102) << "the first one is timed at once";
  EXPECT_GE(pace.interval(), 2.9e-4);
}

}  // namespace
}  // namespace switchyard
