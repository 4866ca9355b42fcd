// START READING HERE: one training step on one page.
#pragma once
#include "data/batch.hpp"
#include "train/machine.hpp"

namespace switchyard::train {

struct StepResult {
  model::LossParts loss;
  double learning_rate = 0.0;
  double gradient_norm = 0.0;  ///< before clipping
};

/// Trains on one global batch; `step` counts from 1. Collective over world. The same bits on every layout. Throws
/// AgreedError{non_finite} before the update when the loss or the gradient is not finite.
StepResult train_step(Machine& machine, const data::Batch& batch, std::int64_t step);

}  // namespace switchyard::train
