#include "bench/step.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "base/clock.hpp"
#include "base/median.hpp"
#include "bench/json_lines.hpp"
#include "comm/agree.hpp"
#include "config/estimate.hpp"
#include "config/lane_choice.hpp"
#include "schedule/hops.hpp"
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
  std::vector<double> seconds;                       ///< of each, of the slowest rank
  double loss = 0.0;                                 ///< of the last
  std::vector<std::int64_t> busy, exposed, compute;  ///< ns of each, of this rank
  std::vector<std::int64_t> travels;                 ///< ns that rows were on their way
  std::vector<std::int64_t> polls;                   ///< ns between polls, after each step

  void add(const std::vector<schedule::Task>& tasks, const std::vector<train::Interval>& intervals,
           const Layout& layout) {
    const train::Communication c = communication(tasks, intervals, layout);
    busy.push_back(nanoseconds(c.busy)), exposed.push_back(nanoseconds(c.exposed));
    compute.push_back(nanoseconds(c.compute));
    for (const train::Interval& task : intervals)
      if (task.travel.end > 0.0) travels.push_back(nanoseconds(task.travel.end - task.travel.start));
  }
  static std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }
};

/// A variant that is measured.
struct Measured {
  Measured(const Variant& variant, int warmup_steps)
      : of(variant),
        warmup(warmup_steps),
        lanes(train::choose_lanes(variant.config, comm::Communicator::duplicate(MPI_COMM_WORLD))),
        machine(with_lanes(variant.config, lanes.lanes), comm::Communicator::duplicate(MPI_COMM_WORLD)) {}
  void step(int number);

  const Variant& of;
  int warmup;
  train::LaneChoice lanes;
  train::Machine machine;
  Seen seen;
};

void Measured::step(int number) {
  const auto batch = train::synthetic_batch(machine.config, machine.groups.layout, number);
  if (number == warmup + 1) machine.timers.clear();
  const double start = now();
  const train::StepResult result = train::train_step(machine, batch, number);
  double took = now() - start;
  comm::all_reduce_max(machine.groups.world, &took, 1);
  if (number <= warmup) return;
  seen.seconds.push_back(took);
  seen.add(machine.tasks, result.intervals, machine.groups.layout);
  seen.polls.push_back(Seen::nanoseconds(machine.pace.interval()));
  seen.loss = result.loss.cross_entropy;
}

/// Of the steps of one turn each.
double median_ratio(const Seen& of, const Seen& to) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < of.seconds.size(); ++i) ratios.push_back(of.seconds[i] / to.seconds[i]);
  return median_of(ratios);
}

/// Milliseconds: of the means over ranks of each step the median.
double of_ranks(const comm::Communicator& world, std::vector<std::int64_t> nanoseconds) {
  comm::all_reduce_sum(world, nanoseconds.data(), static_cast<std::int64_t>(nanoseconds.size()));
  return double(median_of(nanoseconds)) / world.size() * 1e-6;
}

/// Shares are of the medians of steps, as whoever divides these gets them; of journeys the median, the 99th percentile
/// and the longest.
void add_communication(nlohmann::ordered_json& report, const comm::Communicator& world, const Seen& seen) {
  const double step = report["step_ms"], busy = of_ranks(world, seen.busy), exposed = of_ranks(world, seen.exposed),
               compute = of_ranks(world, seen.compute);
  report["communication_ms"] = busy, report["exposed_ms"] = exposed, report["compute_ms"] = compute;
  report["communication_share"] = busy / step, report["exposed_share"] = exposed / step;
  report["utilisation"] = compute / step;
  report["hidden_share"] = schedule::hidden_share(busy, exposed);
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
  const Index n = 1024;
  const Queue queue;
  const Matrix<float> x("bench::x", n, n), w("bench::w", n, n), y("bench::y", n, n);
  std::int64_t nanoseconds = std::int64_t{1} << 60;
  for (int i = 0; i < rounds; ++i) {
    std::int64_t start = 0;
    comm::all_reduce_max(world, &start, 1);  // a barrier
    const double t = now();
    products::forward(queue, products::dense(n), x, {w}, y);
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
  report["graph_nodes"] = machine.passes.nodes() + machine.end.nodes();
  report["nodes"] = machine.groups.nodes.count(), report["way"] = machine.way();
  report["row_bytes"] = bytes[0] / steps, report["row_bytes_across"] = bytes[1] / steps;
}

/// What was left to measurements: lanes, and the interval of polls, the median of all steps and ranks.
void add_measured(nlohmann::ordered_json& report, const comm::Communicator& world, const train::LaneChoice& lanes,
                  const std::vector<std::int64_t>& polls) {
  report["poll_interval_us"] = double(median_of(comm::all_gather(world, polls))) * 1e-3;
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
  j["local_first"] = c.layout.local_first;
  j["zero"] = c.layout.zero, j["placement"] = c.layout.placement;
  j["hidden_chunks"] = c.moe.hidden_chunks, j["expert_tensor_parallel"] = c.layout.expert_tensor_parallel;
  j["recompute"] = EnumNames<Recompute>::names[static_cast<std::size_t>(c.layout.recompute)];
  j["lanes"] = c.layout.lanes, j["waves"] = c.layout.waves, j["poll_us"] = c.layout.poll;
  j["determinism"] = EnumNames<Determinism>::names[static_cast<std::size_t>(c.train.determinism)];
  j["warmup"] = warmup, j["repetitions"] = repetitions;
  return j;
}

/// How fast a variant's steps were; `rate` is that of products, in FLOP/s.
void add_speed(nlohmann::ordered_json& report, const Measured& measured, double rate) {
  const Config& config = measured.machine.config;
  const std::vector<double>& seconds = measured.seen.seconds;
  const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
  const double median = median_of(seconds), tokens = double(config.step_tokens());
  report["tokens_per_s"] = tokens / median;
  report["tokens_per_s_least"] = tokens / *most, report["tokens_per_s_most"] = tokens / *least;
  report["step_ms"] = median * 1e3;
  report["gflops"] = flop_per_token(config) * tokens / median / 1e9;
  report["product_gflops"] = rate / 1e9;
  report["share_of_product_rate"] = flop_per_token(config) * tokens / median / rate;
}

nlohmann::ordered_json report_of(const Measured& measured, const Measured& first, double rate) {
  const train::Machine& machine = measured.machine;
  const int steps = static_cast<int>(measured.seen.seconds.size());
  nlohmann::ordered_json report = protocol(machine.config, machine.groups.world, measured.warmup, steps);
  add_measured(report, machine.groups.world, measured.lanes, measured.seen.polls);
  add_speed(report, measured, rate);
  if (&measured != &first)
    report["with"] = measured.of.name, report["step_ratio"] = median_ratio(measured.seen, first.seen);
  add_communication(report, machine.groups.world, measured.seen);
  add_bytes(report, machine, steps);
  if (measured.of.predict) add_forecast(report, measured.of.predict(machine.config, machine.groups.nodes));
  report["last_loss"] = measured.seen.loss;  // all digits: the same bits, whatever is between
  for (int p = 0; p < Timers::phases; ++p)
    report["phase_ms"][phase_names()[p]] = machine.timers.seconds[p] / steps * 1e3;
  return report;
}

}  // namespace

std::vector<nlohmann::ordered_json> measure_steps(const std::vector<Variant>& variants, const StepOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  JsonLines lines;
  comm::on_root(world, [&] { lines.open(options.json); });
  std::vector<std::unique_ptr<Measured>> all;
  for (const Variant& variant : variants) all.push_back(std::make_unique<Measured>(variant, options.warmup));
  const double rate_before = product_rate(world, 20);
  for (int number = 1; number <= options.warmup + options.repetitions; ++number) {
    if (number == options.warmup + 1 && options.between) options.between();
    for (const auto& measured : all) measured->step(number);
    if (number > options.warmup && options.between) options.between();
  }
  const double rate = std::max(rate_before, product_rate(world, 20));
  std::vector<nlohmann::ordered_json> reports;
  for (const auto& measured : all) reports.push_back(report_of(*measured, *all.front(), rate));
  comm::on_root(world, [&] {
    for (const nlohmann::ordered_json& report : reports) lines.add(report);
  });
  return reports;
}

Exit print_steps(const std::vector<Variant>& variants, const StepOptions& options) {
  const std::vector<nlohmann::ordered_json> reports = measure_steps(variants, options);
  comm::on_root(comm::Communicator::duplicate(MPI_COMM_WORLD), [&] {
    for (const nlohmann::ordered_json& report : reports) std::printf("%s\n", report.dump().c_str());
  });
  return Exit::ok;
}

}  // namespace switchyard::bench
