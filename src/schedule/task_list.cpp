#include "schedule/task_list.hpp"

#include <algorithm>

#include "schedule/generators.hpp"

namespace switchyard::schedule {

TaskList::TaskList(const Config& config)
    : config_(config),
      buckets_(gradient_buckets(config)),
      last_(config.layout.lanes, -1),
      middles_(positions(), 0),
      left_(positions(), 0) {}

bool TaskList::mixture(int position) const {
  return position >= 0 && position < config_.model.blocks && config_.block_experts(position) > 0;
}

int TaskList::append(Task task) {
  std::sort(task.after.begin(), task.after.end());
  task.after.erase(std::unique(task.after.begin(), task.after.end()), task.after.end());
  tasks_.push_back(std::move(task));
  return static_cast<int>(tasks_.size()) - 1;
}

/// After the lane's last task, and after the same one of the lane before, since lanes add to one sum in their order.
/// What is made again stands where an earlier position had its own until the weights of its experts were through.
void TaskList::add(Stage stage, Direction direction, int block, int lane) {
  Task task{stage, direction, block, lane, 0, {}};
  if (last_[lane] >= 0) task.after.push_back(last_[lane]);
  if (direction == Direction::recompute && last_again_ >= 0) task.after.push_back(last_again_);
  const auto before = std::find_if(tasks_.rbegin(), tasks_.rend(), [&](const Task& t) {
    return t.stage == stage && t.direction == direction && t.block == block && t.lane == lane - 1;
  });
  if (lane > 0 && before != tasks_.rend()) task.after.push_back(static_cast<int>(tasks_.rend() - before) - 1);
  last_[lane] = append(std::move(task));
}

void TaskList::add_mixture(const std::vector<Stage>& stages, Direction direction, int block, int lane) {
  for (const Stage stage : stages)
    if (in_mixture(config_, stage)) add(stage, direction, block, lane);
}

void TaskList::enter(const Track& track, int i) {
  const auto [direction, lane] = track;
  const int position = place(track, i);
  if (position < 0) return add(Stage::embedding, direction, -1, lane);
  if (position == config_.model.blocks) return add(Stage::head, direction, -1, lane);
  if (direction == Direction::forward) {
    add(Stage::attention, direction, position, lane);
    add(Stage::feed_forward, direction, position, lane);
  }
  if (mixture(position)) add_mixture(mixture_parts(direction).enter, direction, position, lane);
  if (direction == Direction::backward) recompute(position, lane);
  if (direction == Direction::forward || mixture(position)) return;
  add(Stage::feed_forward, direction, position, lane);
  add(Stage::attention, direction, position, lane);
}

void TaskList::recompute(int block, int lane) {
  for (const Stage stage : recompute_stages(config_, block)) add(stage, Direction::recompute, block, lane);
}

void TaskList::middle(const Track& track, int i) {
  const int position = place(track, i);
  if (mixture(position)) add_mixture(mixture_parts(track.direction).middle, track.direction, position, track.lane);
  if (track.direction == Direction::backward) ++middles_[i];
}

void TaskList::leave(const Track& track, int i) {
  const auto [direction, lane] = track;
  const int position = place(track, i);
  if (direction == Direction::backward) ++left_[i];
  if (!mixture(position)) return;
  add_mixture(mixture_parts(direction).leave, direction, position, lane);
  if (direction == Direction::forward) return;
  add(Stage::feed_forward, direction, position, lane);
  add(Stage::attention, direction, position, lane);
}

void TaskList::weights(int i) {
  const int position = place({Direction::backward, 0}, i);
  if (!all_lanes(middles_[i]) || !mixture(position)) return;
  ends_.push_back(append({Stage::expert_weights, Direction::backward, position, 0, 0, last_}));
  if (!recompute_stages(config_, position).empty()) last_again_ = ends_.back();
}

void TaskList::through(int i) {
  const int position = place({Direction::backward, 0}, i);
  const auto begins = [position](const Range& bucket) { return bucket.first == position; };
  if (all_lanes(left_[i]) && std::any_of(buckets_.begin(), buckets_.end(), begins)) step(Stage::reduce, position);
}

void TaskList::step(Stage stage, int block) {
  Task task{stage, Direction::step, block, 0, 0, std::move(ends_)};
  ends_.clear();
  for (const int last : last_)
    if (last >= 0) task.after.push_back(last);
  std::fill(last_.begin(), last_.end(), append(std::move(task)));
}

const MixtureParts& mixture_parts(Direction direction) {
  // Backwards the router works before the gradients of its rows are home, since they are added to its own; and as late
  // as that, since the gradients of its weights come over the same links.
  static const MixtureParts forward{{Stage::router, Stage::plan, Stage::dispatch},
                                    {Stage::experts_here, Stage::dispatch_finish, Stage::experts, Stage::combine},
                                    {Stage::combine_finish, Stage::shared}},
      backward{{Stage::combine},
               {Stage::experts_here, Stage::combine_finish, Stage::experts, Stage::dispatch},
               {Stage::router, Stage::dispatch_finish, Stage::shared}};
  return direction == Direction::backward ? backward : forward;
}

}  // namespace switchyard::schedule
