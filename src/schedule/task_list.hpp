// A list of tasks while a generator makes it. The model is a row of positions: the embedding (−1), the blocks, the head
// (past the last block). A lane passes each of them in three parts, between which its rows travel. Lanes that do so
// beside each other, each in a direction of its own, pass their first, second, … position together.
#pragma once
#include <vector>

#include "config/architecture.hpp"
#include "config/config.hpp"
#include "schedule/task.hpp"

namespace switchyard::schedule {

/// A lane on its way through the model.
struct Track {
  Direction direction;
  int lane;
};
using Tracks = std::vector<Track>;

class TaskList {
 public:
  explicit TaskList(const Config& config);
  /// Positions of a way through the model.
  int positions() const { return config_.model.blocks + 2; }

  /// What a lane does at position i of its way until rows leave for the first time; while they are away it waits in
  /// `middle` and sends others, and in `leave` it takes these in. Only mixtures of experts have the last two.
  void enter(const Track& track, int i);
  void middle(const Track& track, int i);
  void leave(const Track& track, int i);
  /// After the middle of the i-th positions of lanes that go together: once all lanes are through it backwards the
  /// weights of its experts have their gradients, and memory that layers share until then is free for the next one
  /// (recompute_stages).
  void weights(int i);
  /// After they have left them: once all lanes have backwards, the sums of a bucket of gradients that begins there
  /// begin.
  void through(int i);
  /// After all that is in the list, and before all that follows.
  void step(Stage stage, int block = -1);

  std::vector<Task> take() { return std::move(tasks_); }

 private:
  /// Where a track is at position i of its way.
  int place(const Track& track, int i) const {
    return track.direction == Direction::backward ? config_.model.blocks - i : i - 1;
  }
  bool all_lanes(int done) const { return done == static_cast<int>(last_.size()); }
  void add(Stage stage, Direction direction, int block, int lane);
  void recompute(int block, int lane);
  void add_mixture(const std::vector<Stage>& stages, Direction direction, int block, int lane);
  bool mixture(int position) const;
  int append(Task task);

  const Config& config_;
  std::vector<Range> buckets_;
  std::vector<Task> tasks_;
  std::vector<int> last_;            ///< task of each lane; −1 for none
  std::vector<int> middles_, left_;  ///< lanes that have backwards been through i-th middles, and left i-th positions
  int last_again_ = -1;    ///< weights of experts whose rows were made again, in memory that the next ones share
  std::vector<int> ends_;  ///< other tasks that nobody has waited for
};

/// Stages of a mixture of experts by the part of a position in which they are, as a lane does them.
struct MixtureParts {
  std::vector<Stage> enter, middle, leave;
};
const MixtureParts& mixture_parts(Direction direction);

// The order of all positions of lanes that go together: one file each in this folder.
void walk_serial(TaskList& list, const Tracks& tracks);
void walk_pipelined(TaskList& list, const Tracks& tracks);
void walk_interleaved(TaskList& list, const Tracks& tracks);

}  // namespace switchyard::schedule
