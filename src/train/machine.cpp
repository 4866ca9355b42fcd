#include "train/machine.hpp"

#include "base/check.hpp"

namespace switchyard::train {

Machine::Machine(const Config& resolved, comm::Communicator world)
    : config(resolved),
      groups(std::move(world), config.layout.expert_parallel, config.train.grains),
      exchange(comm::make_exchange(config.layout.exchange, groups.expert)),
      parameters(groups.layout, architecture(config)),
      tasks(schedule::make_tasks(config)) {
  const std::string fault = schedule::fault_in(tasks);
  check(fault.empty(), Exit::internal, fault);
  model = std::make_unique<model::Transformer>(moe::LayerContext{config, groups, *exchange, parameters, timers});
  parameters.allocate(config.train.seed);
}

}  // namespace switchyard::train
