// What the stages of a step take beside their products: of a model that all ranks train together, nothing else being
// done while rows travel, less the time that a rank waits for others.
#include <algorithm>
#include <map>

#include "base/median.hpp"
#include "bench/machine.hpp"
#include "comm/collectives.hpp"
#include "plan/work.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::bench {
namespace {

using schedule::Direction;
using schedule::Stage;

/// Seconds of every task of steps that are done task by task: the median over steps, on the slowest rank.
std::vector<double> task_seconds(train::Machine& machine, int repetitions) {
  std::vector<std::vector<double>> seen(machine.tasks.size());
  for (int i = 1; i <= repetitions + 2; ++i) {
    const auto batch = train::synthetic_batch(machine.config, machine.groups.layout, i);
    const train::StepResult result = train::train_step(machine, batch, i);
    if (i <= 2) continue;
    for (std::size_t t = 0; t < seen.size(); ++t)
      seen[t].push_back(result.intervals[t].end - result.intervals[t].start);
    for (std::size_t t = 0; t < seen.size(); ++t) {  // what was waited for counts where it was waited
      const moe::Travel& travel = result.intervals[t].travel;
      if (travel.end == 0.0) continue;
      for (std::size_t w = t; w < seen.size(); ++w)
        if (result.intervals[w].end >= travel.end) {
          seen[w].back() -= travel.waited;
          break;
        }
    }
  }
  std::vector<double> medians;
  for (const std::vector<double>& of : seen) medians.push_back(std::max(0.0, median_of(of)));
  comm::all_reduce_max(machine.groups.world, medians.data(), static_cast<std::int64_t>(medians.size()));
  return medians;
}

/// Of a stage and direction: seconds beside the products, and elements, of all its tasks.
struct Sum {
  double seconds = 0.0, elements = 0.0;
  double rate() const { return elements > 0.0 ? std::max(0.0, seconds / elements) : 0.0; }
};

}  // namespace

void measure_stages(const Config& reference, int repetitions, plan::MachineDescription& m) {
  train::Machine machine(reference, comm::Communicator::duplicate(MPI_COMM_WORLD));
  const std::vector<double> seconds = task_seconds(machine, repetitions);
  const plan::Workload work(reference, machine.groups.layout);
  const double met = m.far ? m.far->collective : m.near ? m.near->collective : 0.0;
  std::map<Stage, std::map<bool, Sum>> sums;  // by stage and whether it is backward
  for (std::size_t t = 0; t < machine.tasks.size(); ++t) {
    const schedule::Task& task = machine.tasks[t];
    const plan::Work of = work.of(task);
    Sum& sum = sums[task.stage][task.direction == Direction::backward];
    sum.elements += of.elements;
    sum.seconds += seconds[t] - of.product_seconds(m.products) - (task.stage == Stage::plan ? met : 0.0);
  }
  if (sums[Stage::shared][false].elements == 0.0) sums[Stage::shared] = sums[Stage::experts];  // the same kernels
  for (const Stage stage : plan::timed_stages())
    m.stages[static_cast<std::size_t>(stage)] = {sums[stage][false].rate(), sums[stage][true].rate()};
}

}  // namespace switchyard::bench
