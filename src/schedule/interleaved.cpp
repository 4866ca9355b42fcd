// The interleaved schedule: as pipelined, but lanes do not meet between positions. While the rows of a lane travel
// home, another is in the attention and the dense parts of the next position already.
#include "schedule/task_list.hpp"

namespace switchyard::schedule {

void walk_interleaved(TaskList& list, Direction direction) {
  const std::vector<int> positions = list.positions(direction);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    for (int lane = 0; lane < list.lanes(); ++lane) {
      if (i > 0) list.leave(direction, positions[i - 1], lane);
      list.enter(direction, positions[i], lane);
    }
    if (i > 0) list.through(direction, positions[i - 1]);
    for (int lane = 0; lane < list.lanes(); ++lane) list.middle(direction, positions[i], lane);
    list.weights(direction, positions[i]);
  }
  list.through(direction, positions.back());
}

}  // namespace switchyard::schedule
