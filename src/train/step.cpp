#include "train/step.hpp"

#include "base/clock.hpp"
#include "train/finite.hpp"
#include "train/norm.hpp"
#include "train/optimizer.hpp"
#include "train/schedule.hpp"

namespace switchyard::train {
namespace {

using schedule::Stage;

/// One step under way.
struct Step {
  Machine& m;
  const BatchSource& next;
  std::int64_t number;
  StepResult result;

  void perform(const schedule::Task& task);
  void read();
  void reduce_statistics();
  void measure_gradient();
  void update();
};

void Step::perform(const schedule::Task& task) {
  switch (task.stage) {
    case Stage::data:
      return read();
    case Stage::statistics:
      return reduce_statistics();
    case Stage::reduce:
      return reduce_gradients(m.groups, m.parameters, m.gradients, m.bucket_from(task.block), m.timers);
    case Stage::norm:
      return measure_gradient();
    case Stage::optimizer:
      return update();
    case Stage::balance:
      for (moe::Layer* layer : m.model->moe_layers()) layer->update_bias(number);
      return;
    default:
      m.model->run(task);
  }
}

void Step::read() {
  result.batch = next(number);
  m.model->begin(result.batch, moe::Pass::train);
}

void Step::reduce_statistics() {
  result.loss = m.model->reduce();
  require_finite_loss(m, result.loss.total(), number);
}

void Step::measure_gradient() {
  const NormResult gradient = gradient_norm(m.groups, m.parameters, m.gradients, m.norm_memory);
  require_finite_gradient(m, gradient, number);
  result.gradient_norm = gradient.norm;
}

void Step::update() {
  const double clip = m.config.train.clip;
  const double factor = clip > 0.0 && result.gradient_norm > clip ? clip / result.gradient_norm : 1.0;
  result.learning_rate = learning_rate(m.config.train, number);
  adamw(m.parameters, m.gradients, m.config.train, result.learning_rate, factor, number);
}

}  // namespace

StepResult train_step(Machine& m, const BatchSource& next, std::int64_t number) {
  Step step{m, next, number, {}};
  step.result.start = now();
  step.result.intervals = run(m.tasks, m.timers, [&step](const schedule::Task& task) { step.perform(task); });
  step.result.end = now();
  return std::move(step.result);
}

StepResult train_step(Machine& m, const data::Batch& batch, std::int64_t number) {
  return train_step(
      m, [&batch](std::int64_t) { return batch; }, number);
}

}  // namespace switchyard::train
