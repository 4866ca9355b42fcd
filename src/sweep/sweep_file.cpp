// The sweep file: YAML to tasks.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "base/check.hpp"
#include "base/checked.hpp"
#include "config/placement_file.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"
#include "sweep/branches.hpp"
#include "sweep/paths.hpp"
#include "sweep/sweep.hpp"
#include "sweep/sweep_reader.hpp"

namespace switchyard::sweep {
namespace {

namespace fs = std::filesystem;
/// What is wrong with a key that the axes of a sweep set; "" where none of the values has one.
std::string taken_key(const std::vector<std::string>& values, bool branches) {
  static const std::set<std::string> by_axes{"moe.experts", "moe.top_k", "moe.hidden", "train.seed", "data.seed"},
      by_branches{"train.schedule", "train.steps", "train.decay_share", "train.keep_steps"};
  for (const std::string& one : values) {
    const std::string key = key_of(one);
    if (by_axes.contains(key))
      return key + " follows from experts, top_k, granularity and seeds; leave it out of set and arms";
    if (branches && by_branches.contains(key)) return key + " follows from branches; leave it out of set and arms";
  }
  return "";
}

/// The rates of a task by the rule in E: those of its overrides, else the configuration's, times E^x.
void scale_rates(Task& task, const Sweep& sweep, double exponent) {
  const TrainConfig train = load_text(sweep.name, sweep.configuration, task.overrides).config.train;
  const double factor = std::pow(static_cast<double>(task.experts), exponent);
  put_over(task.overrides, {"train.learning_rate=" + format_value(train.learning_rate * factor),
                            "train.min_learning_rate=" + format_value(train.min_learning_rate * factor)});
}

/// Fills in name and overrides; returns what is wrong, "" where nothing is.
std::string complete(Task& task, const Config& base, const std::vector<std::string>& arm, bool branches) {
  task.name = name_of(task);
  const std::int64_t work = std::int64_t{base.moe.hidden} * base.moe.top_k;
  const std::int64_t chosen = std::int64_t{task.top_k} * task.granularity;
  if (work % chosen != 0)
    return task.name + ": moe.hidden * moe.top_k = " + std::to_string(work) +
           " of the configuration is not divisible by " + std::to_string(chosen) +
           " choices, so no width gives equal work";
  put_over(task.overrides, arm);
  make_absolute(task.overrides);
  if (const std::string wrong = taken_key(task.overrides, branches); !wrong.empty()) return task.name + ": " + wrong;
  const auto put = [&task](const std::string& key, auto value) {
    task.overrides.push_back(key + "=" + std::to_string(value));
  };
  put("moe.experts", std::int64_t{task.experts} * task.granularity);
  put("moe.top_k", chosen);
  put("moe.hidden", work / chosen);
  put("train.seed", task.seed);
  put("data.seed", task.seed);
  // The dense model: its one expert has weight 1, whatever a lone router would say.
  if (task.experts == 1 && task.granularity == 1) put_over(task.overrides, {"moe.normalise=after"});
  return "";
}

/// Every combination, in the order in which they run.
std::vector<Task> combine(Axes axes) {
  std::sort(axes.experts.begin(), axes.experts.end());
  if (axes.arms.empty()) axes.arms.emplace_back();
  std::vector<Task> tasks;
  for (const std::uint64_t seed : axes.seeds)
    for (const std::size_t e : halving_order(axes.experts.size()))
      for (const int k : axes.top_k)
        for (const int g : axes.granularity)
          for (const auto& [arm, overrides] : axes.arms)
            if (k <= axes.experts[e])
              tasks.push_back({.arm = arm, .experts = axes.experts[e], .top_k = k, .granularity = g, .seed = seed});
  return tasks;
}

/// Adds what a task's configuration lacks, with the name of the first task that lacks it.
void check_task(const Sweep& sweep, const Task& task, std::set<std::string>& known, std::vector<std::string>& errors) {
  LoadResult loaded = load_text(sweep.name, sweep.configuration, task.overrides);
  add_violations(loaded, sweep.ranks);
  add_placement(loaded);
  for (const ConfigError& e : loaded.errors)
    if (known.insert(e.text()).second) errors.push_back(task.name + ": " + e.text());
}

}  // namespace

std::string Task::branch() const {
  if (is_trunk) return "trunk";
  return from > 0 ? std::string("s").append(std::to_string(steps)) : "";
}

std::string name_of(const Task& t) {
  std::ostringstream name;
  name << "E" << t.experts << "-k" << t.top_k << "-g" << t.granularity << "-seed" << t.seed;
  if (!t.arm.empty()) name << "-" << t.arm;
  if (!t.branch().empty()) name << "-" << t.branch();
  return name.str();
}

std::vector<std::size_t> halving_order(std::size_t count) {
  std::vector<std::size_t> order;
  if (count > 0) order.push_back(0);
  if (count > 1) order.push_back(count - 1);
  std::vector<std::pair<std::size_t, std::size_t>> parts{{0, count ? count - 1 : 0}};
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const auto [low, high] = parts[p];
    if (high - low < 2) continue;
    const std::size_t middle = (low + high) / 2;
    order.push_back(middle);
    parts.emplace_back(low, middle), parts.emplace_back(middle, high);
  }
  return order;
}

Sweep read_sweep(const std::string& file, const std::vector<std::string>& overrides) {
  std::vector<std::string> errors;
  Axes axes = read_axes(file, read_text(file), errors);
  if (!errors.empty()) throw Error(Exit::usage, join(errors, "\n"));
  Sweep sweep;
  sweep.name = (fs::path(file).parent_path() / axes.configuration).lexically_normal().string();
  sweep.configuration = read_text(sweep.name), sweep.ranks = axes.ranks;
  put_over(axes.set, overrides);
  const LoadResult base = load_text(sweep.name, sweep.configuration, axes.set);
  throw_errors(base);
  put_over(axes.set, {"data.path=" + base.config.data.path});  // complete() makes paths absolute
  if (names_placement(base.config)) put_over(axes.set, {"layout.placement=" + base.config.layout.placement});
  if (!base.config.layout.machine.empty()) put_over(axes.set, {"layout.machine=" + base.config.layout.machine});
  if (axes.top_k.empty()) axes.top_k = {base.config.moe.top_k};
  const std::map<std::string, std::vector<std::string>> arms(axes.arms.begin(), axes.arms.end());
  const Checked tasks = Checked(std::ssize(axes.experts)) * std::ssize(axes.top_k) * std::ssize(axes.granularity) *
                        std::ssize(axes.seeds) * std::max<std::int64_t>(1, std::ssize(axes.arms)) *
                        (1 + std::ssize(axes.branches.steps) + std::ssize(axes.branches.tokens));
  check(tasks <= Checked(max_tasks), Exit::usage,
        file + ": is " + to_string(tasks) + " combinations (at most " + std::to_string(max_tasks) +
            " tasks are a sweep); shorten a list, or make several files");
  std::set<std::string> known;
  for (Task& task : combine(axes)) {
    task.overrides = axes.set;
    const auto arm = arms.find(task.arm);
    std::string wrong = complete(task, base.config, arm == arms.end() ? std::vector<std::string>{} : arm->second,
                                 axes.branches.given());
    if (wrong.empty() && axes.rate_exponent != 0.0) scale_rates(task, sweep, axes.rate_exponent);
    std::vector<Task> made{task};
    if (wrong.empty() && axes.branches.given()) made = branched(task, axes.branches, sweep, wrong);
    if (!wrong.empty()) errors.push_back(file + ": " + wrong);
    for (const Task& one : made) {
      if (wrong.empty()) check_task(sweep, one, known, errors);
      sweep.tasks.push_back(one);
    }
  }
  for (const int k : axes.top_k)
    for (const int e : axes.experts)
      if (k > e)
        sweep.notes.push_back(file + ": top_k " + std::to_string(k) + " with experts " + std::to_string(e) +
                              " is left out: a token cannot choose more experts than there are");
  if (sweep.tasks.empty()) errors.push_back(file + ": top_k: is larger than experts everywhere, so there is no task");
  if (!errors.empty()) throw Error(Exit::usage, join(errors, "\n"));
  return sweep;
}

}  // namespace switchyard::sweep
