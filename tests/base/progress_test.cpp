// What is asked for between pieces of work: not more often than it should be, in one thread, and never into a kernel's
// arms.
#include "base/progress.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

namespace switchyard {
namespace {

TEST(Progress, TicksCallItAndOnlyWhileItLives) {
  int calls = 0;
  tick();
  {
    Progress progress([&] { ++calls; }, 0.0);
    tick();
    tick();
    EXPECT_EQ(calls, 2);
    progress.now();
    EXPECT_EQ(calls, 3);
  }
  tick();
  EXPECT_EQ(calls, 3);
}

TEST(Progress, WaitsForItsInterval) {
  int calls = 0;
  Progress progress([&] { ++calls; }, 3600.0);
  for (int i = 0; i < 100; ++i) tick();
  EXPECT_EQ(calls, 1);
  progress.now();  // whatever the interval
  EXPECT_EQ(calls, 2);
}

TEST(Progress, OtherThreadsDoNotPoll) {
  int calls = 0;
  Progress progress([&] { ++calls; }, 0.0);
  std::thread([] { tick(); }).join();
  EXPECT_EQ(calls, 0);
}

TEST(Progress, WhatItThrowsComesOutOfNow) {
  Progress progress([] { throw std::runtime_error("lost"); }, 0.0);
  EXPECT_NO_THROW(tick());
  EXPECT_THROW(progress.now(), std::runtime_error);
}

TEST(Progress, APollThatTicksDoesNotPollAgain) {
  int calls = 0;
  Progress progress(
      [&] {
        ++calls;
        tick();
      },
      0.0);
  tick();
  EXPECT_EQ(calls, 1);
}

TEST(Progress, TheInnermostIsAsked) {
  int outer = 0, inner = 0;
  Progress first([&] { ++outer; }, 0.0);
  {
    Progress second([&] { ++inner; }, 0.0);
    tick();
  }
  tick();
  EXPECT_EQ(outer, 1);
  EXPECT_EQ(inner, 1);
}

}  // namespace
}  // namespace switchyard
