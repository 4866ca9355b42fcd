#include "train/step.hpp"

#include <algorithm>

#include "tensor/region.hpp"
#include "train/finite.hpp"
#include "train/norm.hpp"
#include "train/optimizer.hpp"
#include "train/schedule.hpp"

namespace switchyard::train {
namespace {

void reduce(Machine& m) {
  Region region(m.timers, Phase::reduce);
  reduce_gradients(m.groups, m.parameters, m.gradients, m.timers);
}

NormResult norm(Machine& m) {
  Region region(m.timers, Phase::optimizer);
  return gradient_norm(m.groups, m.parameters, m.gradients);
}

void update(Machine& m, const StepResult& result, std::int64_t step) {
  Region region(m.timers, Phase::optimizer);
  const double clip = m.config.train.clip;
  const double factor = clip > 0.0 && result.gradient_norm > clip ? clip / result.gradient_norm : 1.0;
  adamw(m.parameters, m.gradients, m.config.train, result.learning_rate, factor, step);
}

void balance(Machine& m, std::int64_t step) {
  Region region(m.timers, Phase::balance);
  for (moe::Layer* layer : m.model->moe_layers()) layer->update_bias(step);
}

}  // namespace

StepResult train_step(Machine& m, const data::Batch& batch, std::int64_t step) {
  StepResult result;
  m.model->forward(batch, moe::Pass::train);
  result.loss = m.model->reduce();
  require_finite_loss(m, result.loss.total(), step);
  m.model->backward();
  reduce(m);
  const NormResult gradient = norm(m);
  require_finite_gradient(m, gradient, step);
  result.gradient_norm = gradient.norm;
  result.learning_rate = learning_rate(m.config.train, step);
  update(m, result, step);
  balance(m, step);
  return result;
}

}  // namespace switchyard::train
