#include "schedule/hops.hpp"

#include <algorithm>
#include <array>

namespace switchyard::schedule {

std::vector<TaskHop> hops_of(const std::vector<Task>& tasks, const Config& config) {
  const bool by_nodes = config.layout.by_nodes();
  std::vector<TaskHop> hops;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const int task = static_cast<int>(i);
    if (tasks[i].stage == Stage::reduce) hops.push_back({task, HopKind::sums});
    if (tasks[i].stage != Stage::dispatch && tasks[i].stage != Stage::combine) continue;
    hops.push_back({task, HopKind::rows});
    if (by_nodes) hops.push_back({task, HopKind::near}), hops.push_back({task, HopKind::weights});
  }
  return hops;
}

std::vector<bool> meetings(const std::vector<Task>& tasks, const Layout& layout) {
  const bool sharded = std::any_of(tasks.begin(), tasks.end(), [](const Task& t) { return t.stage == Stage::gather; });
  std::vector<bool> meet;
  for (const Task& task : tasks) switch (task.stage) {
      case Stage::norm:  // of experts, and with shards of the optimizer of all blocks
        meet.push_back(layout.expert_parallel > 1 || (sharded && layout.ranks > 1));
        break;
      case Stage::statistics:
      case Stage::gather:
        meet.push_back(layout.ranks > 1);
        break;
      default:
        meet.push_back(false);
    }
  return meet;
}

ledger::Purpose purpose_of(Stage stage) {
  switch (stage) {
    case Stage::plan:
      return ledger::Purpose::plan;
    case Stage::statistics:
      return ledger::Purpose::statistics;
    case Stage::reduce:
    case Stage::reduce_finish:
      return ledger::Purpose::reduce;
    case Stage::norm:
      return ledger::Purpose::norm;
    case Stage::gather:
      return ledger::Purpose::gather;
    default:
      return ledger::Purpose::other;
  }
}

ledger::Purpose purpose_of(Stage stage, Direction direction, HopKind kind) {
  const bool forward = direction == Direction::forward;
  if (stage == Stage::reduce) return ledger::Purpose::reduce;
  if (kind == HopKind::weights) return ledger::Purpose::weights;
  if (stage == Stage::dispatch) return forward ? ledger::Purpose::dispatch : ledger::Purpose::dispatch_back;
  return forward ? ledger::Purpose::combine : ledger::Purpose::combine_back;
}

const std::string& name_of(HopKind kind) {
  static_assert(static_cast<int>(HopKind::count) == 4, "a name for every kind");
  static const std::array<std::string, 4> names{"rows", "near", "weights", "sums"};
  return names[static_cast<std::size_t>(kind)];
}

}  // namespace switchyard::schedule
