#include "train/run_tasks.hpp"

#include <numeric>

#include "base/clock.hpp"
#include "tensor/region.hpp"

namespace switchyard::train {

std::vector<Interval> run(const std::vector<schedule::Task>& tasks, Timers& timers,
                          const std::function<void(const schedule::Task&)>& perform) {
  const auto bytes = [&timers] { return std::accumulate(timers.bytes.begin(), timers.bytes.end(), std::int64_t{0}); };
  std::vector<Interval> intervals;
  intervals.reserve(tasks.size());
  for (const schedule::Task& task : tasks) {
    const std::int64_t before = bytes();
    const double start = now();
    {
      const Region region(timers, schedule::phase_of(task.stage));
      perform(task);
    }
    intervals.push_back({start, now(), bytes() - before});
  }
  return intervals;
}

}  // namespace switchyard::train
