// Schedules short enough to be reckoned by hand.
#include "plan/simulation.hpp"

#include <gtest/gtest.h>

namespace switchyard::plan {
namespace {

constexpr WaySpeed none{};
constexpr WaySpeed far_way{0.0, 100.0, 1e9, 50.0};  // 100 bytes a second, however seldom polled

// Rows of 3 s leave, 2 s of work, then they are waited for: one second is exposed.
TEST(Simulation, WorkHidesWhatTravels) {
  Simulation s(none, far_way, 0.0);
  const int rows = s.start(0.0, 300.0);
  s.compute(2.0);
  s.wait(rows);
  s.compute(1.0);
  EXPECT_NEAR(s.seconds().step, 4.0, 1e-9);
  EXPECT_NEAR(s.seconds().computing, 3.0, 1e-9);
  EXPECT_NEAR(s.seconds().busy, 3.0, 1e-9);
  EXPECT_NEAR(s.seconds().exposed, 1.0, 1e-9);
  EXPECT_NEAR(s.seconds().hidden_share(), 2.0 / 3.0, 1e-9);
}

// Computing that is polled takes half as long again while something travels: 3 s of work, the first 3 s of which the
// rows of 3 s are under way and 2 s are done.
TEST(Simulation, PollsSlowComputing) {
  Simulation s(none, far_way, 0.5);
  s.wait(s.start(0.0, 0.0));
  s.start(0.0, 300.0);
  s.compute(3.0);
  EXPECT_NEAR(s.seconds().step, 4.0, 1e-9);
  EXPECT_NEAR(s.seconds().exposed, 0.0, 1e-9);
}

// Two journeys share the link one after another; the nearer way is another link. A latency is nobody's time on it.
TEST(Simulation, WaysAreUsedInOrder) {
  Simulation s({0.0, 100.0, 1e9, 0.0}, {0.25, 100.0, 1e9, 0.0}, 0.0);
  const int first = s.start(0.0, 100.0), second = s.start(0.0, 100.0), near = s.start(100.0, 0.0);
  s.wait(near);
  EXPECT_NEAR(s.seconds().step, 1.0, 1e-9);
  s.wait(first);
  EXPECT_NEAR(s.seconds().step, 1.25, 1e-9);
  s.wait(second);
  EXPECT_NEAR(s.seconds().step, 2.25, 1e-9);
  EXPECT_NEAR(s.seconds().busy, 2.25, 1e-9);
}

// Nothing moves between polls but what buffers hold: at 40 bytes a second while computing, at 100 while waiting.
TEST(Simulation, ProgressNeedsPolls) {
  Simulation s(none, {0.0, 100.0, 40.0, 0.0}, 0.0);
  const int rows = s.start(0.0, 140.0);
  s.compute(1.0);
  s.wait(rows);
  EXPECT_NEAR(s.seconds().step, 2.0, 1e-9);
}

// A small message waits behind what lies in the buffer, of which there is at most what has not left.
TEST(Simulation, MeetingsWaitBehindRows) {
  Simulation s(none, far_way, 0.0);
  s.meet(0.1);
  EXPECT_NEAR(s.seconds().step, 0.1, 1e-9);
  EXPECT_NEAR(s.seconds().busy, 0.1, 1e-9);
  s.start(0.0, 60.0);
  s.meet(0.1);  // 50 of 60 bytes before it
  EXPECT_NEAR(s.seconds().step, 0.7, 1e-9);
  s.start(0.0, 20.0);
  s.meet(0.1);
  EXPECT_NEAR(s.seconds().step, 1.0, 1e-9);
  EXPECT_NEAR(s.seconds().busy, 1.0, 1e-9);
  EXPECT_NEAR(s.seconds().exposed, 1.0, 1e-9);
}

}  // namespace
}  // namespace switchyard::plan
