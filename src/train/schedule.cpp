#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "config/values.hpp"

namespace switchyard::train {

double learning_rate(const TrainConfig& c, std::int64_t step) {
  const double peak = c.learning_rate, min = c.min_learning_rate;
  if (step < c.warmup) return peak * static_cast<double>(step) / static_cast<double>(c.warmup);
  if (c.schedule == Schedule::constant || c.steps <= c.warmup) return peak;
  const double steps = static_cast<double>(c.steps), warmup = static_cast<double>(c.warmup);
  const double share = std::max(c.decay_share, 0.5 / steps);  // a smaller one is of the last step too, and not of none
  const double from = c.schedule == Schedule::wsd ? std::max(warmup, (1.0 - share) * steps) : warmup;
  const double done = std::clamp((static_cast<double>(step) - from) / (steps - from), 0.0, 1.0);
  const double left = c.schedule == Schedule::cosine ? 0.5 * (1.0 + std::cos(std::numbers::pi * done)) : 1.0 - done;
  return min + (peak - min) * left;
}

double router_share(const TrainConfig& c, std::int64_t step) {
  const bool warm = step >= c.router_warmup;
  return warm ? c.router_rate : c.router_rate * static_cast<double>(step) / static_cast<double>(c.router_warmup);
}

std::string schedule_note(std::int64_t planned, const TrainConfig& now, std::int64_t step) {
  TrainConfig before = now;
  before.steps = planned;
  const double rate = learning_rate(now, step + 1);
  if (step >= now.steps || learning_rate(before, step + 1) == rate) return "";
  const std::string next = std::to_string(step + 1), schedule = format_value(now.schedule);
  return "train.steps: the learning rate goes from " + format_value(learning_rate(before, step)) + " at step " +
         std::to_string(step) + " to " + format_value(rate) + " at step " + next + " (" + schedule +
         " now ends at step " + std::to_string(now.steps) + ", not " + std::to_string(before.steps) + "); no run of " +
         std::to_string(now.steps) + " steps without a break has these rates";
}

}  // namespace switchyard::train
