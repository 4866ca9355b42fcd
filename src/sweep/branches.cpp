#include "sweep/branches.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "checkpoint/checkpoint.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"

namespace switchyard::sweep {
namespace {

/// Where a branch ends and where it leaves its trunk.
struct Cut {
  std::int64_t steps, from;
};

std::vector<std::int64_t> steps_of(const Branches& branches, const Config& config) {
  std::vector<std::int64_t> steps = branches.steps;
  for (const std::int64_t tokens : branches.tokens) steps.push_back(tokens / config.step_tokens());
  return steps;
}

Cut cut_of(std::int64_t steps, double decay_share, const Config& config) {
  const std::int64_t flush = config.record.flush_every;
  const auto whole = static_cast<std::int64_t>((1.0 - decay_share) * static_cast<double>(steps) * (1.0 + 1e-12));
  return {steps, whole / flush * flush};
}

/// What is wrong with a cut, "" where nothing is.
std::string fault_of(const Cut& cut, std::int64_t before, const Config& config) {
  const std::string steps = "branches: a branch of " + std::to_string(cut.steps) + " steps";
  if (cut.steps <= before)
    return steps + " is not longer than the one before (tokens are counted in whole steps of " +
           std::to_string(config.step_tokens()) + "); leave one out";
  if (cut.from > std::numeric_limits<int>::max())
    return steps + " leaves its trunk beyond step 2147483647, the last that train.keep_steps can name; make it shorter";
  if (cut.from < 1)
    return steps + " would leave its trunk before the first chunk of rows ends (record.flush_every is " +
           std::to_string(config.record.flush_every) + "); make it longer";
  if (cut.from < config.train.warmup)
    return steps + " would leave its trunk at step " + std::to_string(cut.from) + ", before train.warmup " +
           std::to_string(config.train.warmup) + " is over; make it longer, or the warm-up shorter";
  return "";
}

Task branch_of(const Task& trunk, const Cut& cut) {
  Task task = trunk;
  task.steps = cut.steps, task.from = cut.from;
  task.name = name_of(task);
  const double share = static_cast<double>(cut.steps - cut.from) / static_cast<double>(cut.steps);
  put_over(task.overrides, {"train.schedule=wsd", "train.steps=" + std::to_string(cut.steps),
                            "train.decay_share=" + format_value(share)});
  return task;
}

}  // namespace

std::vector<Task> branched(const Task& task, const Branches& branches, const Sweep& sweep, std::string& wrong) {
  const LoadResult loaded = load_text(sweep.name, sweep.configuration, task.overrides);
  if (!loaded.errors.empty()) return {task};  // which the check of the task tells
  const Config& config = loaded.config;
  if (config.step_tokens() < 1 || config.record.flush_every < 1) return {task};
  std::vector<Cut> cuts;
  for (const std::int64_t steps : steps_of(branches, config)) {
    const Cut cut = cut_of(steps, branches.decay_share, config);
    wrong = fault_of(cut, cuts.empty() ? 0 : cuts.back().steps, config);
    if (!wrong.empty()) {
      wrong = task.name + ": " + wrong;
      return {task};
    }
    cuts.push_back(cut);
  }
  std::vector<int> kept;
  for (const Cut& cut : cuts)
    if (kept.empty() || kept.back() != cut.from) kept.push_back(static_cast<int>(cut.from));
  Task trunk = task;
  trunk.is_trunk = true;
  trunk.name = name_of(trunk);
  std::vector<Task> tasks;
  for (const Cut& cut : cuts) tasks.push_back(branch_of(task, cut));
  put_over(trunk.overrides, {"train.schedule=constant", "train.steps=" + std::to_string(cuts.back().from),
                             "train.keep_steps=" + format_value(kept)});
  tasks.insert(tasks.begin(), trunk);
  return tasks;
}

const Task* trunk_of(const Sweep& sweep, const Task& task) {
  if (task.from == 0) return nullptr;
  Task trunk = task;
  trunk.steps = trunk.from = 0, trunk.is_trunk = true;
  const std::string name = name_of(trunk);
  const auto found = std::ranges::find(sweep.tasks, name, &Task::name);
  return found == sweep.tasks.end() ? nullptr : &*found;
}

std::string origin_of(const std::string& folder, const Sweep& sweep, const Task& task) {
  const Task* trunk = trunk_of(sweep, task);
  return trunk ? run_folder(folder, *trunk) + "@" + std::to_string(task.from) : "";
}

bool has_trunk(const std::string& folder, const Sweep& sweep, const Task& task) {
  const Task* trunk = trunk_of(sweep, task);
  if (!trunk) return false;
  std::error_code unreachable;
  return std::filesystem::exists(checkpoint::folder_of(run_folder(folder, *trunk), task.from) + "/manifest.json",
                                 unreachable);
}

}  // namespace switchyard::sweep
