#include "train/run_tasks.hpp"

#include <Kokkos_Profiling_ScopedRegion.hpp>
#include <numeric>

#include "base/activity.hpp"
#include "base/clock.hpp"
#include "comm/transfers.hpp"

namespace switchyard::train {
namespace {

struct Marks {
  Event start, end;
  std::int64_t bytes = 0;
};

/// In its own queue a task comes after those before it; what it reads of another queue it waits for.
void wait_for_others(const std::vector<schedule::Task>& tasks, const schedule::Task& task, const Queue& queue,
                     const std::vector<Marks>& marks) {
  for (const int before : task.after)
    if (tasks[before].queue != task.queue) queue.wait(marks[before].end);
}

std::vector<Interval> run_all(const std::vector<schedule::Task>& tasks, const std::vector<Queue>& queues,
                              Timers& timers, const Perform& perform, const Poll& poll) {
  const auto bytes = [&timers] { return std::accumulate(timers.bytes.begin(), timers.bytes.end(), std::int64_t{0}); };
  const Event origin;
  const double begin = queues.front().mark(origin);  // what travels is measured by the same clock
  std::vector<Marks> marks(tasks.size());
  Pace every_tick(0.0);
  Polling polling(poll.rows, poll.pace ? *poll.pace : every_tick);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const schedule::Task& t = tasks[i];
    activity::begin_task(static_cast<int>(i), static_cast<int>(t.stage), static_cast<int>(t.direction), t.block,
                         t.lane);
    const Queue& queue = queues.at(t.queue);
    const Kokkos::Profiling::ScopedRegion region("switchyard::" + schedule::name_of(t.stage));
    const std::int64_t before = bytes();
    wait_for_others(tasks, t, queue, marks);
    queue.record(marks[i].start);
    perform(queue, t);
    queue.record(marks[i].end);
    marks[i].bytes = bytes() - before;
    polling.now();
  }
  for (const Queue& queue : queues) queue.fence("switchyard::train::run::end");
  std::vector<Interval> intervals;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const double start = seconds_between(origin, marks[i].start), end = seconds_between(origin, marks[i].end);
    intervals.push_back({begin + start, begin + end, marks[i].bytes, {}});
    timers.seconds[static_cast<int>(schedule::phase_of(tasks[i].stage))] += end - start;
  }
  return intervals;
}

}  // namespace

std::vector<Interval> run(const std::vector<schedule::Task>& tasks, const std::vector<Queue>& queues, Timers& timers,
                          const Perform& perform, const Poll& poll) {
  std::vector<Interval> intervals;
  comm::told_if_unwound([&] { intervals = run_all(tasks, queues, timers, perform, poll); });
  return intervals;
}

}  // namespace switchyard::train
