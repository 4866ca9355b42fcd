// The interleaved schedule: as pipelined, but lanes do not meet between positions. While the rows of a lane travel
// home, another is in the attention and the dense parts of the next position already.
#include "schedule/task_list.hpp"

namespace switchyard::schedule {

void walk_interleaved(TaskList& list, const Tracks& tracks) {
  for (int i = 0; i < list.positions(); ++i) {
    for (const Track& track : tracks) {
      if (i > 0) list.leave(track, i - 1);
      list.enter(track, i);
    }
    if (i > 0) list.through(i - 1);
    for (const Track& track : tracks) list.middle(track, i);
    list.weights(i);
  }
  for (const Track& track : tracks) list.leave(track, list.positions() - 1);
  list.through(list.positions() - 1);
}

}  // namespace switchyard::schedule
