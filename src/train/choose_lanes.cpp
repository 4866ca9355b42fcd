#include "train/choose_lanes.hpp"

#include <algorithm>
#include <utility>

#include "base/activity.hpp"
#include "base/clock.hpp"
#include "base/median.hpp"
#include "checkpoint/checkpoint.hpp"
#include "comm/agree.hpp"
#include "config/lane_choice.hpp"
#include "config/values.hpp"
#include "train/finite.hpp"
#include "train/progress.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

/// The first ones find the size of rows whose number routing decides.
constexpr int warmup_steps = 2, measured_steps = 5;

/// Parameters stay what they are at the start, whatever random tokens would teach them.
Config trial_of(const Config& config, int lanes) {
  Config trial = with_lanes(config, lanes);
  trial.train.learning_rate = trial.train.min_learning_rate = 0.0;
  return trial;
}

double median_step(const Config& trial, const comm::Communicator& world) {
  Machine machine(trial, comm::Communicator::duplicate(world.handle()));
  std::vector<double> seconds;
  for (int step = 1; step <= warmup_steps + measured_steps; ++step) {
    const data::Batch batch = synthetic_batch(machine.config, machine.groups.layout, step);
    const double start = now();
    train_step(machine, batch, step);
    double took = now() - start;
    comm::all_reduce_max(world, &took, 1);
    if (step > warmup_steps) seconds.push_back(took);
  }
  return median_of(std::move(seconds));
}

}  // namespace

LaneChoice choose(const std::vector<LaneChoice::Candidate>& measured) {
  const auto best =
      std::min_element(measured.begin(), measured.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  std::vector<std::string> parts;
  for (const LaneChoice::Candidate& c : measured) parts.push_back(format_value(c.lanes) + ": " + milliseconds(c.step));
  return {best->lanes, measured, "lanes: " + format_value(best->lanes) + " by measurement (" + join(parts) + ")"};
}

LaneChoice choose_lanes(const Config& config, const comm::Communicator& world) {
  const std::vector<int> candidates = lane_candidates(config, world.size());
  LaneChoice only{candidates.front(), {}, ""};
  if (config.layout.lanes != 0) return only;
  only.text = "lanes: " + format_value(only.lanes) + " without a measurement (";
  if (candidates.size() == 1) {
    only.text += "no other lane has work to do while rows travel)";
    return only;
  }
  std::vector<LaneChoice::Candidate> measured;
  try {
    for (const int lanes : candidates) {
      activity::begin_round(lanes);
      measured.push_back({lanes, median_step(trial_of(config, lanes), world)});
    }
  } catch (const NonFiniteError&) {
    measured.clear();
    only.text += "its steps on random tokens were not finite)";
  }
  activity::begin_round(0);
  return measured.empty() ? only : choose(measured);
}

LaneChoice settle_lanes(Config& config, const comm::Communicator& world, const std::string& resumed) {
  if (config.layout.lanes != 0) return choose_lanes(config, world);  // as given
  std::int64_t done = 0;
  comm::on_root(world, [&] { done = resumed.empty() ? 0 : checkpoint::checkpoint_step(resumed); });
  comm::broadcast(world, &done, sizeof done, 0);
  LaneChoice choice = done < config.train.steps ? choose_lanes(config, world) : LaneChoice{config.layout.waves, {}, ""};
  config.layout.lanes = choice.lanes;
  return choice;
}

}  // namespace switchyard::train
