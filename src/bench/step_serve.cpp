// `switchyard bench step --serve`: whole steps by request.
#include <array>

#include "base/clock.hpp"
#include "bench/json_lines.hpp"
#include "bench/serve.hpp"
#include "bench/step.hpp"
#include "config/lane_choice.hpp"
#include "config/values.hpp"
#include "tensor/products/library.hpp"
#include "train/choose_lanes.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::bench {
namespace {

nlohmann::ordered_json protocol(const Config& config, const comm::Communicator& world) {
  nlohmann::ordered_json j;
  j["what"] = "step", j["ranks"] = world.size(), j["products"] = products::description();
  j["precision"] = format_value(config.train.precision);
  j["width"] = config.model.width, j["blocks"] = config.model.blocks, j["context"] = config.model.context;
  j["experts"] = config.moe.experts, j["top_k"] = config.moe.top_k, j["expert_hidden"] = config.moe.hidden;
  j["step_tokens"] = config.step_tokens(), j["grains"] = config.train.grains, j["lanes"] = config.layout.lanes;
  j["commit"] = record::program_commit();
  return j;
}

/// A run on four batches of random tokens in turn, made before the time begins.
class Steps {
 public:
  explicit Steps(const Config& config) : machine_(config, comm::Communicator::duplicate(MPI_COMM_WORLD)) {
    for (int i = 0; i < std::ssize(batches_); ++i)
      batches_[i] = train::synthetic_batch(config, machine_.groups.layout, i + 1);
  }
  /// Milliseconds of the slowest rank, from the beginning of a step to that of the next one, the last one to its end: a
  /// device may still be at work on the end of a step when the next one begins.
  std::vector<double> run(int n) {
    std::vector<double> ms;
    double start = now();
    for (int i = 0; i < n; ++i) {
      step();
      if (i + 1 == n)
        for (const Queue& queue : machine_.queues) queue.fence("switchyard::bench::steps");
      const double end = now();
      ms.push_back(1e3 * (end - start)), start = end;
    }
    comm::all_reduce_max(machine_.groups.world, ms.data(), n);
    return ms;
  }

 private:
  void step() {
    data::Batch& batch = batches_[number_ % std::ssize(batches_)];
    batch.step = ++number_;
    train::train_step(machine_, batch, number_);
  }
  train::Machine machine_;
  std::array<data::Batch, 4> batches_;
  std::int64_t number_ = 0;
};

}  // namespace

Exit serve_steps(const Config& config) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const train::LaneChoice lanes = train::choose_lanes(config, world);
  const Config chosen = with_lanes(config, lanes.lanes);
  Steps steps(chosen);
  serve(world, protocol(chosen, world), {{"run", [&steps](int n) { return steps.run(n); }}});
  return Exit::ok;
}

}  // namespace switchyard::bench
