#include "schedule/hops.hpp"

#include <array>

namespace switchyard::schedule {

std::vector<TaskHop> hops_of(const std::vector<Task>& tasks, const Config& config) {
  const bool by_nodes = config.layout.exchange == ExchangeKind::node;
  std::vector<TaskHop> hops;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].stage != Stage::dispatch && tasks[i].stage != Stage::combine) continue;
    const int task = static_cast<int>(i);
    hops.push_back({task, HopKind::rows});
    if (by_nodes) hops.push_back({task, HopKind::near}), hops.push_back({task, HopKind::weights});
  }
  return hops;
}

const std::string& name_of(HopKind kind) {
  static_assert(static_cast<int>(HopKind::count) == 3, "a name for every kind");
  static const std::array<std::string, 3> names{"rows", "near", "weights"};
  return names[static_cast<std::size_t>(kind)];
}

}  // namespace switchyard::schedule
