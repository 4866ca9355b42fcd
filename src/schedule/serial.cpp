// The serial schedule: every task reads what the one before it left.
#include "config/architecture.hpp"
#include "schedule/generators.hpp"

namespace switchyard::schedule {
namespace {

/// A list in which each task follows the last one.
class Chain {
 public:
  void add(Stage stage, Direction direction, int block = -1) {
    Task task{stage, direction, block, 0, 0, {}};
    if (!tasks_.empty()) task.after.push_back(static_cast<int>(tasks_.size()) - 1);
    tasks_.push_back(std::move(task));
  }
  void block(const Config& config, int b, Direction direction) {
    const bool forward = direction == Direction::forward;
    if (forward) {
      add(Stage::attention, direction, b);
      add(Stage::feed_forward, direction, b);
    }
    if (config.block_experts(b) > 0)
      for (const Stage stage : mixture_stages(direction))
        if (stage != Stage::shared || config.moe.shared_experts > 0) add(stage, direction, b);
    if (!forward) {
      add(Stage::feed_forward, direction, b);
      add(Stage::attention, direction, b);
    }
  }
  void forward(const Config& config) {
    add(Stage::embedding, Direction::forward);
    for (int b = 0; b < config.model.blocks; ++b) block(config, b, Direction::forward);
    add(Stage::head, Direction::forward);
    add(Stage::statistics, Direction::step);
  }
  /// A bucket of gradients is summed as soon as its blocks are through.
  void backward(const Config& config) {
    const std::vector<Range> buckets = gradient_buckets(config);
    for (auto bucket = buckets.begin(); bucket != buckets.end(); ++bucket) {
      for (std::int64_t b = bucket->last; b-- > bucket->first;) backward(config, static_cast<int>(b));
      add(Stage::reduce, Direction::step, static_cast<int>(bucket->first));
    }
  }
  std::vector<Task> take() { return std::move(tasks_); }

 private:
  /// Of a block, of the embedding (−1), or of what stands behind the blocks.
  void backward(const Config& config, int b) {
    if (b < 0)
      add(Stage::embedding, Direction::backward);
    else if (b == config.model.blocks)
      add(Stage::head, Direction::backward);
    else
      block(config, b, Direction::backward);
  }
  std::vector<Task> tasks_;
};

}  // namespace

const std::vector<Stage>& mixture_stages(Direction direction) {
  // Backwards the router works while gradients are on their way home: its own is what they are added to.
  static const std::vector<Stage> forward{Stage::router,  Stage::plan,    Stage::dispatch,       Stage::dispatch_finish,
                                          Stage::experts, Stage::combine, Stage::combine_finish, Stage::shared},
      backward{Stage::combine, Stage::combine_finish,  Stage::experts, Stage::dispatch,
               Stage::router,  Stage::dispatch_finish, Stage::shared};
  return direction == Direction::backward ? backward : forward;
}

std::vector<Task> serial(const Config& config) {
  Chain chain;
  chain.add(Stage::data, Direction::step);
  chain.forward(config);
  chain.backward(config);
  for (const Stage stage : {Stage::norm, Stage::optimizer, Stage::balance}) chain.add(stage, Direction::step);
  return chain.take();
}

std::vector<Task> forward_pass(const Config& config) {
  Chain chain;
  chain.forward(config);
  return chain.take();
}

std::string fault_in(const std::vector<Task>& tasks) {
  for (int i = 0; i < static_cast<int>(tasks.size()); ++i)
    for (const int before : tasks[i].after)
      if (before < 0 || before >= i) return text_of(i, tasks[i]) + ": waits for what has not been done";
  return "";
}

}  // namespace switchyard::schedule
