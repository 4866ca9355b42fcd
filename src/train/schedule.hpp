// The learning rate of each step.
#pragma once
#include <cstdint>
#include <string>

#include "config/config.hpp"

namespace switchyard::train {

/// Learning rate of step `step` (the first is 1): rises linearly from 0 to train.learning_rate at step train.warmup,
/// then stays (constant), or falls on a half cosine or a line to train.min_learning_rate at step train.steps.
double learning_rate(const TrainConfig& config, std::int64_t step);

/// The share of a step's learning rate that routers have: train.router_rate, in their own warm-up less.
double router_share(const TrainConfig& config, std::int64_t step);

/// What to say of a run that has trained `step` steps as one of `planned` and goes on under `now`: both learning rates
/// and where the schedule ends; "" where the next step's rate is the same.
std::string schedule_note(std::int64_t planned, const TrainConfig& now, std::int64_t step);

}  // namespace switchyard::train
