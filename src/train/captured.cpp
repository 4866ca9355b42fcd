#include "train/captured.hpp"

#include "config/values.hpp"

namespace switchyard::train {

using schedule::Direction;
using schedule::Stage;

std::string fault_of_capture(const Config& config, int ranks) {
  if (!Graph::available()) return "this build works on the host, which has no graphs";
  if (ranks > 1) return "a step of several ranks meets them on the host";
  if (config.layout.lanes > 1 || config.layout.waves > 1) return "a step of several lanes or waves is not captured";
  if (config.moe.aux_loss > 0.0 || config.moe.importance_loss > 0.0 || config.moe.z_loss > 0.0)
    return "balancing losses are made of the loads of the whole batch, which the host sums";
  if (config.moe.router == RouterKind::noisy_topk) return "the router's noise is another one each step";
  if (config.layout.delay > 0.0) return "layout.delay lets the host sleep between tasks";
  return "";
}

bool captures(const Config& config, int ranks) {
  return config.train.graph != GraphChoice::off && fault_of_capture(config, ranks).empty();
}

std::string graph_text(const Config& config, int ranks) {
  const std::string chosen = " (train.graph " + format_value(config.train.graph) + ")";
  if (captures(config, ranks)) return "steps are captured as CUDA graphs" + chosen;
  const std::string fault = fault_of_capture(config, ranks);
  return "steps are not captured as CUDA graphs" + chosen + (fault.empty() ? "" : ": " + fault);
}

bool in_passes(const schedule::Task& task) { return task.direction != Direction::step && !in_end(task); }

bool in_end(const schedule::Task& task) {
  return (task.stage == Stage::embedding && task.direction == Direction::backward) || task.stage == Stage::reduce ||
         task.stage == Stage::reduce_finish;
}

}  // namespace switchyard::train
