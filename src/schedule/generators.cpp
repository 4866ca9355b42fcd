#include "schedule/generators.hpp"

#include "base/check.hpp"
#include "config/recomputation.hpp"
#include "schedule/task_list.hpp"

namespace switchyard::schedule {
namespace {

void walk(TaskList& list, ScheduleKind kind, Direction direction) {
  switch (kind) {
    case ScheduleKind::serial:
      return walk_serial(list, direction);
    case ScheduleKind::pipelined:
      return walk_pipelined(list, direction);
    case ScheduleKind::interleaved:
      return walk_interleaved(list, direction);
  }
  throw Error(Exit::internal, "a schedule without a line in walk");
}

void forward(TaskList& list, const Config& config) {
  walk(list, config.layout.schedule, Direction::forward);
  list.step(Stage::statistics);
}

}  // namespace

std::vector<Stage> mixture_stages(Direction direction) {
  const MixtureParts& parts = mixture_parts(direction);
  std::vector<Stage> all;
  for (const auto* part : {&parts.enter, &parts.middle, &parts.leave})
    all.insert(all.end(), part->begin(), part->end());
  if (direction == Direction::backward) all.push_back(Stage::expert_weights);
  return all;
}

bool in_mixture(const Config& config, Stage stage) {
  if (stage == Stage::shared) return config.moe.shared_experts > 0;
  if (stage == Stage::experts_here) return config.layout.local_first && config.layout.expert_parallel != 1;
  return true;
}

std::vector<Stage> recompute_stages(const Config& config, int block) {
  const bool mixture = config.block_experts(block) > 0;
  switch (recomputed(config, block)) {
    case Recompute::none:
      return {};
    case Recompute::experts:
      return {Stage::experts};
    case Recompute::blocks:
      break;
  }
  std::vector<Stage> stages{Stage::attention, Stage::feed_forward};
  if (mixture) stages.insert(stages.end(), {Stage::router, Stage::experts});
  if (mixture && config.moe.shared_experts > 0) stages.push_back(Stage::shared);
  return stages;
}

std::vector<Task> make_tasks(const Config& config) {
  TaskList list(config);
  list.step(Stage::data);
  forward(list, config);
  walk(list, config.layout.schedule, Direction::backward);
  list.step(Stage::reduce_finish);
  list.step(Stage::norm);
  list.step(Stage::optimizer);
  if (config.layout.zero == 1) list.step(Stage::gather);
  list.step(Stage::balance);
  return list.take();
}

std::vector<Task> forward_pass(const Config& config) {
  TaskList list(config);
  forward(list, config);
  return list.take();
}

std::string fault_in(const std::vector<Task>& tasks) {
  for (int i = 0; i < static_cast<int>(tasks.size()); ++i)
    for (const int before : tasks[i].after)
      if (before < 0 || before >= i) return text_of(i, tasks[i]) + ": waits for what has not been done";
  return "";
}

}  // namespace switchyard::schedule
