#include "schedule/task.hpp"

#include <array>

namespace switchyard::schedule {
namespace {

struct StageRow {
  std::string name;
  Phase phase;
};

constexpr auto stages = static_cast<std::size_t>(Stage::count);

/// In the order of the enumeration.
const std::array<StageRow, stages>& table() {
  static const std::array<StageRow, stages> rows{{{"data", Phase::data},
                                                  {"embedding", Phase::embedding},
                                                  {"attention", Phase::attention},
                                                  {"feed_forward", Phase::feed_forward},
                                                  {"router", Phase::router},
                                                  {"plan", Phase::plan},
                                                  {"dispatch", Phase::dispatch},
                                                  {"dispatch_finish", Phase::dispatch},
                                                  {"experts_here", Phase::experts},
                                                  {"experts", Phase::experts},
                                                  {"expert_weights", Phase::experts},
                                                  {"combine", Phase::combine},
                                                  {"combine_finish", Phase::combine},
                                                  {"shared", Phase::experts},
                                                  {"head", Phase::head},
                                                  {"statistics", Phase::balance},
                                                  {"reduce", Phase::reduce},
                                                  {"reduce_finish", Phase::reduce},
                                                  {"norm", Phase::optimizer},
                                                  {"optimizer", Phase::optimizer},
                                                  {"gather", Phase::reduce},
                                                  {"balance", Phase::balance}}};
  static_assert(stages == 22, "a row for every stage");
  return rows;
}

}  // namespace

const std::string& name_of(Stage stage) { return table()[static_cast<std::size_t>(stage)].name; }

const std::string& name_of(Direction direction) {
  static_assert(static_cast<int>(Direction::count) == 4, "a name for every direction");
  static const std::array<std::string, 4> names{"forward", "recompute", "backward", "step"};
  return names[static_cast<std::size_t>(direction)];
}

Phase phase_of(Stage stage) { return table()[static_cast<std::size_t>(stage)].phase; }

std::string text_of(int number, const Task& task) {
  std::string text = std::to_string(number) + " " + name_of(task.stage);
  if (task.direction != Direction::step) text += " " + name_of(task.direction);
  if (task.block >= 0) text += " block " + std::to_string(task.block);
  text += " lane " + std::to_string(task.lane);
  if (!task.after.empty()) text += " after";
  for (const int before : task.after) text.append(" ").append(std::to_string(before));
  return text;
}

}  // namespace switchyard::schedule
