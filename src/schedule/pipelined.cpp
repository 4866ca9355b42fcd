// The pipelined schedule: the rows of one lane travel while the experts work on those of another, and the last ones
// home while the experts' weights get their gradients. Lanes meet between positions.
#include "schedule/task_list.hpp"

namespace switchyard::schedule {

void walk_pipelined(TaskList& list, Direction direction) {
  for (const int p : list.positions(direction)) {
    for (int lane = 0; lane < list.lanes(); ++lane) list.enter(direction, p, lane);
    for (int lane = 0; lane < list.lanes(); ++lane) list.middle(direction, p, lane);
    list.weights(direction, p);
    for (int lane = 0; lane < list.lanes(); ++lane) list.leave(direction, p, lane);
    list.through(direction, p);
  }
}

}  // namespace switchyard::schedule
