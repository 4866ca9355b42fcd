// What is asked for between pieces of work: not more often than it should be, in one thread, and never into a kernel's
// arms.
#include "base/polling.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

namespace switchyard {
namespace {

TEST(Polling, TicksCallItAndOnlyWhileItLives) {
  int calls = 0;
  tick();
  {
    Polling polling([&] { ++calls; }, 0.0);
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
  Polling polling([&] { ++calls; }, 3600.0);
  for (int i = 0; i < 100; ++i) tick();
  EXPECT_EQ(calls, 1);
  polling.now();  // whatever the interval
  EXPECT_EQ(calls, 2);
}

TEST(Polling, OtherThreadsDoNotPoll) {
  int calls = 0;
  Polling polling([&] { ++calls; }, 0.0);
  std::thread([] { tick(); }).join();
  EXPECT_EQ(calls, 0);
}

TEST(Polling, WhatItThrowsComesOutOfNow) {
  Polling polling([] { throw std::runtime_error("lost"); }, 0.0);
  EXPECT_NO_THROW(tick());
  EXPECT_THROW(polling.now(), std::runtime_error);
}

TEST(Polling, APollThatTicksDoesNotPollAgain) {
  int calls = 0;
  Polling polling(
      [&] {
        ++calls;
        tick();
      },
      0.0);
  tick();
  EXPECT_EQ(calls, 1);
}

TEST(Polling, TheInnermostIsAsked) {
  int outer = 0, inner = 0;
  Polling first([&] { ++outer; }, 0.0);
  {
    Polling second([&] { ++inner; }, 0.0);
    tick();
  }
  tick();
  EXPECT_EQ(outer, 1);
  EXPECT_EQ(inner, 1);
}

}  // namespace
}  // namespace switchyard
