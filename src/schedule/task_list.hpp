// A list of tasks while a generator makes it. The model is a row of positions: the embedding (−1), the blocks, the head
// (past the last block). A lane passes each of them in three parts, between which its rows travel.
#pragma once
#include <vector>

#include "config/architecture.hpp"
#include "config/config.hpp"
#include "schedule/task.hpp"

namespace switchyard::schedule {

class TaskList {
 public:
  explicit TaskList(const Config& config);
  int lanes() const { return static_cast<int>(last_.size()); }
  /// In the order of a direction.
  std::vector<int> positions(Direction direction) const;

  /// What a lane does at a position until rows leave for the first time; while they are away it waits in `middle` and
  /// sends others, and in `leave` it takes these in. Only mixtures of experts have the last two.
  void enter(Direction direction, int position, int lane);
  void middle(Direction direction, int position, int lane);
  void leave(Direction direction, int position, int lane);
  /// All lanes are through the middle of a position: backwards the weights of its experts have their gradients, and
  /// memory that layers share until then is free for the next one (recompute_stages).
  void weights(Direction direction, int position);
  /// All lanes have left a position: backwards the sums of a bucket of gradients that begins there begin.
  void through(Direction direction, int position);
  /// After all that is in the list, and before all that follows.
  void step(Stage stage, int block = -1);

  std::vector<Task> take() { return std::move(tasks_); }

 private:
  void add(Stage stage, Direction direction, int block, int lane);
  void recompute(int block, int lane);
  void add_mixture(const std::vector<Stage>& stages, Direction direction, int block, int lane);
  bool mixture(int position) const;
  int append(Task task);

  const Config& config_;
  std::vector<Range> buckets_;
  std::vector<Task> tasks_;
  std::vector<int> last_;  ///< task of each lane; −1 for none
  int last_again_ = -1;    ///< weights of experts whose rows were made again, in memory that the next ones share
  std::vector<int> ends_;  ///< other tasks that nobody has waited for
};

/// Stages of a mixture of experts by the part of a position in which they are, as a lane does them.
struct MixtureParts {
  std::vector<Stage> enter, middle, leave;
};
const MixtureParts& mixture_parts(Direction direction);

// The order of all lanes and positions in one direction: one file each in this folder.
void walk_serial(TaskList& list, Direction direction);
void walk_pipelined(TaskList& list, Direction direction);
void walk_interleaved(TaskList& list, Direction direction);

}  // namespace switchyard::schedule
