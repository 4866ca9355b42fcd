// The pipelined schedule: the rows of one lane travel while the experts work on those of another, and the last ones
// home while the experts' weights get their gradients. Lanes meet between positions.
#include "schedule/task_list.hpp"

namespace switchyard::schedule {

void walk_pipelined(TaskList& list, const Tracks& tracks) {
  for (int i = 0; i < list.positions(); ++i) {
    for (const Track& track : tracks) list.enter(track, i);
    for (const Track& track : tracks) list.middle(track, i);
    list.weights(i);
    for (const Track& track : tracks) list.leave(track, i);
    list.through(i);
  }
}

}  // namespace switchyard::schedule
