#include "bench/step.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "bench/json_lines.hpp"
#include "comm/agree.hpp"
#include "config/estimate.hpp"
#include "config/lane_choice.hpp"
#include "tensor/products/library.hpp"
#include "tensor/products/products.hpp"
#include "train/accounting.hpp"
#include "train/choose_lanes.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::bench {
namespace {

/// What a rank saw of the steps that were measured.
struct Seen {
  std::vector<double> seconds;  ///< of each, of the slowest rank
  double loss = 0.0;            ///< of the last
  train::Communication all;
  std::vector<std::int64_t> travels;  ///< ns that rows were on their way
  std::vector<std::int64_t> polls;    ///< ns between polls, after each step

  void add(const std::vector<schedule::Task>& tasks, const std::vector<train::Interval>& intervals,
           const Layout& layout) {
    const train::Communication c = communication(tasks, intervals, layout);
    all.busy += c.busy, all.exposed += c.exposed, all.step += c.step;
    for (const train::Interval& task : intervals)
      if (task.travel.end > 0.0) travels.push_back(nanoseconds(task.travel.end - task.travel.start));
  }
  static std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }
};

Seen take_steps(train::Machine& machine, int warmup, int repetitions) {
  Seen seen;
  for (int i = 1; i <= warmup + repetitions; ++i) {
    const auto batch = train::synthetic_batch(machine.config, machine.groups.layout, i);
    if (i == warmup + 1) machine.timers.clear();
    const double start = now();
    const train::StepResult result = train::train_step(machine, batch, i);
    double took = now() - start;
    comm::all_reduce_max(machine.groups.world, &took, 1);
    if (i <= warmup) continue;
    seen.seconds.push_back(took);
    seen.add(machine.tasks, result.intervals, machine.groups.layout);
    seen.polls.push_back(Seen::nanoseconds(machine.pace.interval()));
    seen.loss = result.loss.cross_entropy;
  }
  return seen;
}

/// Of all ranks: the mean of their shares, and of journeys the median, the 99th percentile and the longest.
void add_communication(nlohmann::ordered_json& report, const comm::Communicator& world, const Seen& seen, int steps) {
  std::int64_t sums[] = {Seen::nanoseconds(seen.all.step), Seen::nanoseconds(seen.all.busy),
                         Seen::nanoseconds(seen.all.exposed)};
  comm::all_reduce_sum(world, sums, 3);
  const train::Communication mean{double(sums[0]), double(sums[1]), double(sums[2])};
  const double milliseconds = 1e-6 / steps / world.size();
  report["communication_ms"] = mean.busy * milliseconds, report["exposed_ms"] = mean.exposed * milliseconds;
  report["communication_share"] = mean.busy / mean.step, report["exposed_share"] = mean.exposed_share();
  report["hidden_share"] = mean.hidden_share();
  std::vector<std::int64_t> all = comm::all_gather(world, seen.travels);
  if (all.empty()) return;
  std::sort(all.begin(), all.end());
  const auto at = [&](double share) {
    return double(all[std::min(all.size() - 1, static_cast<std::size_t>(share * double(all.size())))]) * 1e-6;
  };
  report["journey_ms"] = {{"p50", at(0.5)}, {"p99", at(0.99)}, {"max", at(1.0)}};
}

/// FLOP/s of all ranks together in a 1024³ product, every rank at the same time: best of `rounds`.
double product_rate(const comm::Communicator& world, int rounds) {
  const Index n = 1024, first = 0;
  const Queue queue;
  const Matrix<float> x("bench::x", n, n), w("bench::w", n, n), y("bench::y", n, n);
  std::int64_t nanoseconds = std::int64_t{1} << 60;
  for (int i = 0; i < rounds; ++i) {
    std::int64_t start = 0;
    comm::all_reduce_max(world, &start, 1);  // a barrier
    const double t = now();
    products::forward(queue, {1, &first, &n}, x, {w}, y);
    queue.fence("switchyard::bench");
    std::int64_t took = static_cast<std::int64_t>((now() - t) * 1e9);
    comm::all_reduce_max(world, &took, 1);
    nanoseconds = std::min(nanoseconds, took);
  }
  return 2.0 * double(n) * double(n) * double(n) * world.size() / (double(nanoseconds) * 1e-9);
}

/// Bytes of rows that all ranks send in a step, and of these those between nodes.
void add_bytes(nlohmann::ordered_json& report, const train::Machine& machine, int steps) {
  std::int64_t bytes[2] = {};
  for (const Phase phase : {Phase::dispatch, Phase::combine}) {
    bytes[0] += machine.timers.bytes[static_cast<std::size_t>(phase)];
    bytes[1] += machine.timers.bytes_across[static_cast<std::size_t>(phase)];
  }
  comm::all_reduce_sum(machine.groups.world, bytes, 2);
  report["nodes"] = machine.groups.nodes.count(), report["way"] = machine.way();
  report["row_bytes"] = bytes[0] / steps, report["row_bytes_across"] = bytes[1] / steps;
}

/// What was left to measurements: lanes, and the interval of polls, the median of all steps and ranks.
void add_measured(nlohmann::ordered_json& report, const comm::Communicator& world, const train::LaneChoice& lanes,
                  const std::vector<std::int64_t>& polls) {
  std::vector<std::int64_t> all = comm::all_gather(world, polls);
  std::nth_element(all.begin(), all.begin() + std::ssize(all) / 2, all.end());
  report["poll_interval_us"] = double(all[all.size() / 2]) * 1e-3;
  for (const train::LaneChoice::Candidate& c : lanes.measured)
    report["lanes_ms"][std::to_string(c.lanes)] = c.step * 1e3;
}

void add_forecast(nlohmann::ordered_json& report, const train::Forecast& forecast) {
  report["machine"] = forecast.machine;
  if (!forecast.why_not.empty()) return void(report["predicted_nothing"] = forecast.why_not);
  report["predicted_step_ms"] = forecast.step * 1e3, report["predicted_hidden_share"] = forecast.hidden_share;
}

nlohmann::ordered_json protocol(const Config& c, const comm::Communicator& world, int warmup, int repetitions) {
  nlohmann::ordered_json j;
  j["ranks"] = world.size(), j["threads"] = c.layout.threads, j["products"] = products::description();
  j["width"] = c.model.width, j["blocks"] = c.model.blocks, j["context"] = c.model.context;
  j["experts"] = c.moe.experts, j["top_k"] = c.moe.top_k, j["expert_hidden"] = c.moe.hidden;
  j["step_tokens"] = c.step_tokens(), j["grains"] = c.train.grains;
  j["expert_parallel"] = c.layout.expert_parallel ? c.layout.expert_parallel : world.size();
  j["exchange"] = EnumNames<ExchangeKind>::names[static_cast<std::size_t>(c.layout.exchange)];
  j["combine_groups"] = c.moe.combine_groups;
  j["schedule"] = EnumNames<ScheduleKind>::names[static_cast<std::size_t>(c.layout.schedule)];
  j["zero"] = c.layout.zero, j["placement"] = c.layout.placement;
  j["hidden_chunks"] = c.moe.hidden_chunks, j["expert_tensor_parallel"] = c.layout.expert_tensor_parallel;
  j["recompute"] = EnumNames<Recompute>::names[static_cast<std::size_t>(c.layout.recompute)];
  j["lanes"] = c.layout.lanes, j["poll_us"] = c.layout.poll;
  j["determinism"] = EnumNames<Determinism>::names[static_cast<std::size_t>(c.train.determinism)];
  j["warmup"] = warmup, j["repetitions"] = repetitions;
  return j;
}

}  // namespace

Exit measure_step(const Config& given, int warmup, int repetitions, const std::string& json_out,
                  const train::Predict& predict) {
  auto ranks = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const train::LaneChoice lanes = train::choose_lanes(given, ranks);
  const Config config = with_lanes(given, lanes.lanes);
  train::Machine machine(config, std::move(ranks));
  const auto& world = machine.groups.world;
  JsonLines lines;
  comm::on_root(world, [&] { lines.open(json_out); });
  const double rate_before = product_rate(world, 20);
  Seen seen = take_steps(machine, warmup, repetitions);
  const double rate = std::max(rate_before, product_rate(world, 20));
  std::vector<double>& seconds = seen.seconds;
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2], tokens = double(config.step_tokens());
  auto report = protocol(config, world, warmup, repetitions);
  add_measured(report, world, lanes, seen.polls);
  report["tokens_per_s"] = tokens / median;
  report["tokens_per_s_least"] = tokens / seconds.back(), report["tokens_per_s_most"] = tokens / seconds.front();
  report["step_ms"] = median * 1e3;
  report["gflops"] = flop_per_token(config) * tokens / median / 1e9;
  report["product_gflops"] = rate / 1e9;
  report["share_of_product_rate"] = flop_per_token(config) * tokens / median / rate;
  add_communication(report, world, seen, repetitions);
  add_bytes(report, machine, repetitions);
  if (predict) add_forecast(report, predict(config, machine.groups.nodes));
  report["last_loss"] = seen.loss;  // all digits: the same bits, whatever is between
  for (int p = 0; p < Timers::phases; ++p)
    report["phase_ms"][phase_names()[p]] = machine.timers.seconds[p] / repetitions * 1e3;
  comm::on_root(world, [&] {
    std::printf("%s\n", report.dump().c_str());
    lines.add(report);
  });
  return Exit::ok;
}

}  // namespace switchyard::bench
