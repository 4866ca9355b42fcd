// One thing that a training step does, as data: what a generator lists, the step runs, and the timeline shows. Free of
// Kokkos and MPI.
#pragma once
#include <string>
#include <vector>

#include "base/timers.hpp"

namespace switchyard::schedule {

/// The rooms of the data flow, then what a step does beside them.
enum class Stage {
  data,
  embedding,
  attention,
  feed_forward,  ///< the norm before it, and the dense network where the block has no mixture
  router,
  plan,
  dispatch,         ///< rows leave for their experts; backwards their gradients leave for home
  dispatch_finish,  ///< and have arrived
  experts_here,     ///< of the rows that stay on this rank, while the others travel (layout.local_first)
  experts,
  expert_weights,  ///< backwards, once for all lanes: the gradients of the experts' weights
  combine,         ///< outputs leave for home; backwards their gradients leave for the experts
  combine_finish,
  shared,  ///< the shared experts
  head,
  statistics,     ///< losses and loads of the global batch; after it they are known to be finite
  reduce,         ///< gradients of a bucket, which begins with the task's block, leave for their owners
  reduce_finish,  ///< and those of all buckets have their sums
  norm,
  optimizer,
  gather,  ///< of the weights that other ranks have updated, where each updates some (layout.zero 1)
  balance,
  count
};

enum class Direction {
  forward,
  recompute,  ///< on the way back, stages of the way forward again whose results were not kept
  backward,
  step,
  count
};

struct Task {
  Stage stage;
  Direction direction = Direction::step;
  int block = -1;  ///< transformer block, or what is before (−1) or after them; −1 also for what belongs to none
  int lane = 0;    ///< which part of the rank's grains
  int queue = 0;   ///< in-order stream of the device that it runs on
  std::vector<int> after;  ///< tasks of the list, all before this one, whose results it reads
};

const std::string& name_of(Stage stage);          ///< "dispatch"
const std::string& name_of(Direction direction);  ///< "backward"
/// The row of `phase_seconds` and `phase_bytes` that a stage counts in.
Phase phase_of(Stage stage);
/// "12 dispatch backward block 3 lane 0 after 9 11": what messages and tests say of task number 12.
std::string text_of(int number, const Task& task);

}  // namespace switchyard::schedule
