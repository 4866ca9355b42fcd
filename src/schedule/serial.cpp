// The serial schedule: one lane after another passes a position; nothing is done while rows travel, but what stands
// between the stages of a lane anyway.
#include "schedule/task_list.hpp"

namespace switchyard::schedule {

void walk_serial(TaskList& list, const Tracks& tracks) {
  for (int i = 0; i < list.positions(); ++i) {
    for (const Track& track : tracks) {
      list.enter(track, i);
      list.middle(track, i);
      list.leave(track, i);
    }
    list.weights(i);
    list.through(i);
  }
}

}  // namespace switchyard::schedule
