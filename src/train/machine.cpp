#include "train/machine.hpp"

namespace switchyard::train {

Machine::Machine(const Config& resolved, comm::Communicator world)
    : config(resolved),
      groups(std::move(world), config.layout.expert_parallel, config.train.grains),
      exchange(comm::make_exchange(config.layout.exchange, groups.expert)),
      parameters(groups.layout, architecture(config)),
      tasks(schedule::serial(config)) {
  model = std::make_unique<model::Transformer>(moe::LayerContext{config, groups, *exchange, parameters, timers});
  parameters.allocate(config.train.seed);
}

}  // namespace switchyard::train
