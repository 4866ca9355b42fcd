// Runs a list of tasks in its order, and takes the time and the traffic of each.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "base/polling.hpp"
#include "base/timers.hpp"
#include "moe/transfer.hpp"
#include "schedule/task.hpp"
#include "tensor/queue.hpp"

namespace switchyard::train {

/// One task on this rank.
struct Interval {
  double start = 0.0, end = 0.0;  ///< s, of this machine's steady clock
  std::int64_t bytes = 0;         ///< sent to other ranks
  moe::Travel travel = {};        ///< of the rows or gradients that the task sent; zeros where none travelled
};

using Perform = std::function<void(const Queue&, const schedule::Task&)>;

/// What is asked for between tasks, and at its pace while they compute; without one at every tick.
struct Poll {
  Poller rows = [] { return false; };
  Pace* pace = nullptr;
};

/// Calls perform(queue, task) for each of `tasks` in their order, and polls; a queue waits for what a task reads of
/// another one. What throws ends the list. Seconds are added to the phases of `timers`, where `perform` counts its
/// bytes. Intervals are from the moment when a device comes to a task until it has done its work, by events in the
/// task's queue: the host waits for the queues once, at the end.
std::vector<Interval> run(const std::vector<schedule::Task>& tasks, const std::vector<Queue>& queues, Timers& timers,
                          const Perform& perform, const Poll& poll = {});

}  // namespace switchyard::train
