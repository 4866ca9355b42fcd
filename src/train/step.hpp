// START READING HERE: one training step on one page. What it does in what order is the list of tasks that a generator
// of schedule/ made; here each of them is done.
#pragma once
#include <functional>
#include <vector>

#include "data/batch.hpp"
#include "train/machine.hpp"
#include "train/run_tasks.hpp"

namespace switchyard::train {

struct StepResult {
  data::Batch batch;  ///< trained on
  model::LossParts loss;
  double learning_rate = 0.0;
  double gradient_norm = 0.0;       ///< before clipping
  std::vector<Interval> intervals;  ///< of the machine's tasks, in their order, on this rank
  double start = 0.0, end = 0.0;    ///< s, of this machine's steady clock
};

/// The batch of a step, which counts from 1.
using BatchSource = std::function<data::Batch(std::int64_t step)>;

/// Trains on one global batch. Collective over world. The same bits on every layout where
/// train.determinism is `layout`. Throws what `next` throws, and
/// AgreedError{non_finite} before the update when the loss or the gradient is not finite.
StepResult train_step(Machine& machine, const BatchSource& next, std::int64_t step);
StepResult train_step(Machine& machine, const data::Batch& batch, std::int64_t step);

}  // namespace switchyard::train
