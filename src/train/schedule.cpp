#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace switchyard::train {

double learning_rate(const TrainConfig& c, std::int64_t step) {
  const double peak = c.learning_rate, least = c.min_learning_rate;
  if (step < c.warmup) return peak * static_cast<double>(step) / static_cast<double>(c.warmup);
  if (c.schedule == Schedule::constant || c.steps <= c.warmup) return peak;
  const double steps = static_cast<double>(c.steps), warmup = static_cast<double>(c.warmup);
  const double from = c.schedule == Schedule::wsd ? std::max(warmup, (1.0 - c.decay_share) * steps) : warmup;
  const double done = std::clamp((static_cast<double>(step) - from) / (steps - from), 0.0, 1.0);
  const double left = c.schedule == Schedule::cosine ? 0.5 * (1.0 + std::cos(std::numbers::pi * done)) : 1.0 - done;
  return least + (peak - least) * left;
}

}  // namespace switchyard::train
