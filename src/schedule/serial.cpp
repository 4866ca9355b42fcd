// The serial schedule: one lane after another passes a position; nothing is done while rows travel, but what stands
// between the stages of a lane anyway.
#include "schedule/task_list.hpp"

namespace switchyard::schedule {

void walk_serial(TaskList& list, Direction direction) {
  for (const int p : list.positions(direction)) {
    for (int lane = 0; lane < list.lanes(); ++lane) {
      list.enter(direction, p, lane);
      list.middle(direction, p, lane);
      list.leave(direction, p, lane);
    }
    list.weights(direction, p);
    list.through(direction, p);
  }
}

}  // namespace switchyard::schedule
