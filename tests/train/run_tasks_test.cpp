// A list of tasks is done in its order, each task in its queue, after what it reads of other queues; time and traffic
// are those of the task.
#include "train/run_tasks.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "base/clock.hpp"

namespace switchyard::train {
namespace {

using schedule::Stage;
using schedule::Task;

std::vector<Queue> queues(int count) {
  std::vector<Queue> all;
  for (int number = 0; number < count; ++number) all.emplace_back(number);
  return all;
}

Task task(Stage stage, int queue, std::vector<int> after) {
  return {stage, schedule::Direction::step, -1, 0, queue, std::move(after)};
}

/// A list of `count` tasks in one queue, of stages in turn.
std::vector<Task> chain(int count) {
  std::vector<Task> tasks;
  for (int i = 0; i < count; ++i)
    tasks.push_back(
        task(static_cast<Stage>(i % static_cast<int>(Stage::count)), 0, i ? std::vector{i - 1} : std::vector<int>{}));
  return tasks;
}

TEST(RunTasks, AreDoneInTheirOrderAndEachInItsQueue) {
  const std::vector<Queue> three = queues(3);
  std::vector<Task> tasks = chain(7);
  for (int i = 0; i < 7; ++i) tasks[i].queue = i * 2 % 3;
  Timers timers;
  std::vector<std::pair<const Task*, const Queue*>> done;
  run(tasks, three, timers, [&](const Queue& queue, const Task& t) { done.emplace_back(&t, &queue); });
  ASSERT_EQ(done.size(), tasks.size());
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(done[i].first, &tasks[i]);
    EXPECT_EQ(done[i].second, &three[i * 2 % 3]);
  }
}

TEST(RunTasks, BytesAreThoseThatATaskAdds) {
  Timers timers;
  timers.bytes[0] = 1000;  // of an earlier step
  int number = 0;
  const auto intervals = run(chain(5), queues(1), timers, [&](const Queue&, const Task&) {
    timers.bytes[static_cast<int>(Phase::dispatch)] += number;
    timers.bytes[static_cast<int>(Phase::combine)] += 10 * number++;
  });
  for (int i = 0; i < 5; ++i) EXPECT_EQ(intervals[i].bytes, 11 * i);
}

TEST(RunTasks, IntervalsLieInTheStepAndOneAfterAnother) {
  Timers timers;
  const double before = now();
  const auto intervals = run(chain(4), queues(1), timers, [](const Queue&, const Task& t) {
    if (t.stage == Stage::attention) std::this_thread::sleep_for(std::chrono::milliseconds(30));
  });
  const double after = now();
  double last = before;
  for (const Interval& i : intervals) {
    EXPECT_GE(i.start, last - 1e-6);
    EXPECT_GE(i.end, i.start);
    last = i.end;
  }
  EXPECT_LE(last, after + 1e-6);
  const Interval& slept = intervals[static_cast<int>(Stage::attention)];
  if constexpr (on_host) {
    EXPECT_GE(slept.end - slept.start, 0.03);
  }
}

TEST(RunTasks, PhasesAreSumsOverTheirTasks) {
  const std::vector<Task> tasks = chain(2 * static_cast<int>(Stage::count));
  Timers timers;
  timers.seconds[0] = 5.0;
  const auto intervals = run(tasks, queues(1), timers, [](const Queue&, const Task&) {});
  std::vector<double> expected(Timers::phases, 0.0);
  expected[0] = 5.0;
  for (std::size_t i = 0; i < tasks.size(); ++i)
    expected[static_cast<int>(schedule::phase_of(tasks[i].stage))] += intervals[i].end - intervals[i].start;
  for (int p = 0; p < Timers::phases; ++p) EXPECT_NEAR(timers.seconds[p], expected[p], 1e-9) << p;
}

TEST(RunTasks, WhatThrowsEndsTheList) {
  Timers timers;
  int done = 0;
  EXPECT_THROW(run(chain(6), queues(1), timers,
                   [&](const Queue&, const Task&) {
                     if (++done == 3) throw std::runtime_error("full");
                   }),
               std::runtime_error);
  EXPECT_EQ(done, 3);
}

/// to = from + 1, after a long time: as one thread counts.
void slow_successor(const Queue& queue, const Vector<std::int64_t>& values, int from, int to, std::int64_t turns) {
  Kokkos::parallel_for(
      "test::slow_successor", queue.range(1), KOKKOS_LAMBDA(Index) {
        std::int64_t count = values(from);
        for (std::int64_t i = 0; i < turns; ++i) count = count * 3 % 1000003 + i % 2;
        values(to) = count >= 0 ? values(from) + 1 : 0;
      });
}

/// Two queues hand a number to and fro: on a device a queue that does not wait reads what is not there yet.
TEST(RunTasks, AQueueWaitsForWhatItReadsOfAnother) {
  const std::vector<Queue> two = queues(2);
  const int length = 9;
  std::vector<Task> tasks = chain(length);
  for (int i = 0; i < length; ++i) tasks[i].queue = i % 2;
  const auto values = make_view<Vector<std::int64_t>>("test::values", length + 1);
  fill(two[0], values, std::int64_t{-100});
  two[0].fence("test");
  fill(two[0], Vector<std::int64_t>(values.data(), 1), std::int64_t{0});
  two[0].fence("test");
  int number = 0;
  Timers timers;
  run(tasks, two, timers, [&](const Queue& queue, const Task&) {
    slow_successor(queue, values, number, number + 1, 1 << 18);
    ++number;
  });
  std::vector<std::int64_t> expected(length + 1);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(host_values(values), expected) << "run() returns once all queues are through";
}

}  // namespace
}  // namespace switchyard::train
