// The backward pass of a model outside a training step.
#pragma once
#include "model/transformer.hpp"
#include "schedule/generators.hpp"
#include "support/queue.hpp"

namespace switchyard::test {

inline void run_backward(model::Transformer& model, const Config& config) {
  for (const schedule::Task& task : schedule::make_tasks(config))
    if (task.direction == schedule::Direction::recompute || task.direction == schedule::Direction::backward)
      model.run(test::queue(), task);
}

}  // namespace switchyard::test
