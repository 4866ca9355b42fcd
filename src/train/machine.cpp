#include "train/machine.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace switchyard::train {

Machine::Machine(const Config& resolved, comm::Communicator world)
    : config(resolved),
      groups(std::move(world), config.layout, config.train.grains, config.train.determinism),
      exchanges(config.layout.exchange, groups),
      parameters(groups.layout, architecture(config), Element::f32, sharded_buckets(config)),
      buckets(gradient_buckets(config)),
      tasks(schedule::make_tasks(config)) {
  const std::string fault = schedule::fault_in(tasks);
  check(fault.empty(), Exit::internal, fault);
  model = std::make_unique<model::Transformer>(moe::LayerContext{config, groups, exchanges, parameters, timers});
  int last = 0;
  for (const schedule::Task& task : tasks) last = std::max(last, task.queue);
  for (int number = 0; number <= last; ++number) queues.emplace_back(number);
  parameters.allocate(queue(), config.train.seed);
}

const Range& Machine::bucket_from(int block) const {
  const auto found =
      std::find_if(buckets.begin(), buckets.end(), [block](const Range& bucket) { return bucket.first == block; });
  expect(found != buckets.end(), "a bucket of gradients that begins with this block");
  return *found;
}

}  // namespace switchyard::train
