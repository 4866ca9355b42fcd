#include "schedule/generators.hpp"

#include "base/check.hpp"
#include "config/recomputation.hpp"
#include "schedule/task_list.hpp"

namespace switchyard::schedule {
namespace {

void walk(TaskList& list, ScheduleKind kind, const Tracks& tracks) {
  switch (kind) {
    case ScheduleKind::serial:
      return walk_serial(list, tracks);
    case ScheduleKind::pipelined:
      return walk_pipelined(list, tracks);
    case ScheduleKind::interleaved:
      return walk_interleaved(list, tracks);
  }
  throw Error(Exit::internal, "a schedule without a line in walk");
}

/// Of `count` lanes, from `first` on.
void add_tracks(Tracks& tracks, Direction direction, int first, int count) {
  for (int lane = first; lane < first + count; ++lane) tracks.push_back({direction, lane});
}

/// The lanes of a wave go forward beside the way back of those of the wave before.
void walk_waves(TaskList& list, const LayoutConfig& layout) {
  const int lanes = layout.lanes / layout.waves;  // of a wave
  expect(lanes >= 1, "a lane for each wave");
  for (int wave = 0; wave <= layout.waves; ++wave) {
    Tracks tracks;
    if (wave < layout.waves) add_tracks(tracks, Direction::forward, wave * lanes, lanes);
    if (wave == layout.waves) list.step(Stage::statistics);
    if (wave > 0) add_tracks(tracks, Direction::backward, (wave - 1) * lanes, lanes);
    walk(list, layout.schedule, tracks);
  }
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
  walk_waves(list, config.layout);
  list.step(Stage::reduce_finish);
  list.step(Stage::norm);
  list.step(Stage::optimizer);
  if (config.layout.zero == 1) list.step(Stage::gather);
  list.step(Stage::balance);
  return list.take();
}

std::vector<Task> forward_pass(const Config& config) {
  TaskList list(config);
  Tracks tracks;
  add_tracks(tracks, Direction::forward, 0, config.layout.lanes);
  walk(list, config.layout.schedule, tracks);
  list.step(Stage::statistics);
  return list.take();
}

std::string fault_in(const std::vector<Task>& tasks) {
  for (int i = 0; i < static_cast<int>(tasks.size()); ++i)
    for (const int before : tasks[i].after)
      if (before < 0 || before >= i) return text_of(i, tasks[i]) + ": waits for what has not been done";
  return "";
}

}  // namespace switchyard::schedule
