// Runs a list of tasks in its order, and takes the time and the traffic of each.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "base/timers.hpp"
#include "schedule/task.hpp"

namespace switchyard::train {

/// One task on this rank.
struct Interval {
  double start = 0.0, end = 0.0;  ///< s, of this machine's steady clock
  std::int64_t bytes = 0;         ///< sent to other ranks
};

/// Calls perform(task) for each of `tasks`; what throws ends the list. Seconds are added to the phases of `timers`,
/// where `perform` counts its bytes. A device has done the work of a task when its interval ends.
std::vector<Interval> run(const std::vector<schedule::Task>& tasks, Timers& timers,
                          const std::function<void(const schedule::Task&)>& perform);

}  // namespace switchyard::train
