#include "train/recorder.hpp"

#include <sys/resource.h>

#include <algorithm>

#include "base/files.hpp"
#include "comm/agree.hpp"
#include "comm/clock.hpp"
#include "tensor/region.hpp"

namespace switchyard::train {
namespace {

StepLine line_of(const record::StepRow& row) {
  double worst = 0.0;
  for (const auto& layer : row.layers) worst = std::max(worst, moe::max_vio(layer.assigned));
  return {row.step, row.loss.total(), row.learning_rate, row.gradient_norm, row.wall_seconds, worst};
}

std::int64_t largest_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace

Recorder::Recorder(Machine& machine, const data::Corpus& corpus, const data::Batches& batches,
                   const SegmentStart& start)
    : machine_(machine),
      root_(machine.groups.world.rank() == 0),
      folder_(start.folder),
      forecast_(start.forecast),
      progress_(start.folder + "/log.txt", machine.config, root_),
      meter_(machine) {
  const Config& config = machine.config;
  const auto tokens = machine.groups.layout.my_grains().size() * config.grain_sequences() * config.model.context;
  if (config.record.sample_every > 0 && tokens > 0 && !machine.model->moe_layers().empty())
    tokens_ = std::make_unique<record::TokenFile>(
        start.folder + "/" + record::TokenFile::name(machine.groups.world.rank()), config, tokens);
  if (!root_) return;
  rows_ =
      std::make_unique<record::RunFile>(start.folder + "/run.h5", config, record::RankNodes(machine.groups.nodes.of),
                                        start.config, start.provenance, start.begins_after);
  if (config.train.evaluate_every > 0)
    evaluations_ = std::make_unique<record::EvaluationFile>(start.folder + "/evaluation.h5", config,
                                                            evaluation_tokens(corpus, batches, config));
}

/// What rank 0 needs of a rank: seconds of the phases and of the step, bytes of the phases, resident bytes, rows sent
/// to every rank, and of communication. Whole numbers are exact, being far below 2^53.
std::vector<double> Recorder::own_measures(const StepResult& result) const {
  const Timers& timers = machine_.timers;
  std::vector<double> mine(timers.seconds.begin(), timers.seconds.end());
  mine.push_back(result.end - result.start);
  mine.insert(mine.end(), timers.bytes.begin(), timers.bytes.end());
  mine.push_back(static_cast<double>(largest_resident_bytes()));
  std::vector<std::int64_t> sent(machine_.groups.world.size(), 0);
  for (const moe::Layer* layer : machine_.model->moe_layers())
    for (std::size_t r = 0; r < sent.size(); ++r) sent[r] += layer->statistics().traffic.at(r);
  mine.insert(mine.end(), sent.begin(), sent.end());
  meter_.add_own(result, mine);
  return mine;
}

/// The row of a step; on rank 0 only, and collective all the same.
record::StepRow Recorder::make_row(std::int64_t step, const StepResult& result) {
  const std::vector<double> mine = own_measures(result);
  const std::size_t ranks = machine_.groups.world.size(), width = mine.size();
  const std::vector<double> all = comm::gather_on_root(machine_.groups.world, mine);
  record::StepRow row;
  if (!root_) return row;
  row.step = step, row.tokens = step * machine_.config.step_tokens();
  row.loss = result.loss, row.learning_rate = result.learning_rate, row.gradient_norm = result.gradient_norm;
  row.seconds.assign(Timers::phases, 0.0), row.bytes.assign(Timers::phases, 0);
  for (std::size_t r = 0; r < ranks; ++r) {
    const double* of = all.data() + r * width;
    for (double& seconds : row.seconds) seconds = std::max(seconds, *of++);
    row.wall_seconds = std::max(row.wall_seconds, *of++);
    for (std::int64_t& bytes : row.bytes) bytes += static_cast<std::int64_t>(*of++);
    row.peak_bytes += static_cast<std::int64_t>(*of++);
    for (std::size_t to = 0; to < ranks; ++to) row.traffic.push_back(static_cast<std::int64_t>(*of++));
    meter_.take(of);
  }
  row.communication = meter_.row(step);
  for (const moe::Layer* layer : machine_.model->moe_layers()) row.layers.push_back(layer->statistics());
  return row;
}

/// Begin and end of every task on every rank; on rank 0 only, and collective all the same. Clocks are compared at each
/// such step: over a segment of hours they drift apart by more than a task takes.
record::TimelineRow Recorder::make_timeline(std::int64_t step, const StepResult& result) const {
  const double offset = comm::clock_offset(machine_.groups.world);
  std::vector<double> mine{result.start + offset, result.end + offset};
  for (const Interval& interval : result.intervals)
    mine.insert(mine.end(), {interval.start + offset, interval.end + offset, static_cast<double>(interval.bytes)});
  const std::vector<double> all = comm::gather_on_root(machine_.groups.world, mine);
  record::TimelineRow row;
  row.step = step;
  for (std::size_t at = 0; at < all.size(); at += mine.size()) {
    row.step_start.push_back(all[at] - result.start), row.step_end.push_back(all[at + 1] - result.start);
    for (std::size_t i = at + 2; i < at + mine.size(); i += 3) {
      row.start.push_back(all[i] - result.start), row.end.push_back(all[i + 1] - result.start);
      row.bytes.push_back(static_cast<std::int64_t>(all[i + 2]));
    }
  }
  meter_.add_timeline(result, offset, result.start, row);
  return row;
}

void Recorder::step(std::int64_t step, const StepResult& result) {
  const RecordConfig& config = machine_.config.record;
  // Of the configuration and the step alone, so that all ranks agree on what is collective.
  const auto due = [step](std::int64_t every) { return every > 0 && step % every == 0; };
  const record::StepRow row = make_row(step, result);
  machine_.timers.clear();  // what follows until the next row counts there
  Region region(machine_.timers, Phase::record);
  record::TimelineRow timeline;
  if (due(config.timeline_every)) timeline = make_timeline(step, result);
  comm::agree(machine_.groups.world, [&] {
    if (tokens_ && due(config.sample_every)) sample(step, result.batch);
    if (!root_) return;
    rows_->append(row);
    if (due(config.timeline_every)) rows_->append(timeline);
    progress_.step(line_of(row), &meter_.hop_times());
    if (!forecast_) return;
    const record::CommunicationRow& seen = row.communication;
    const std::string warning = forecast_->add(step, {row.wall_seconds, seen.busy, seen.exposed});
    if (!warning.empty()) progress_.warn(warning);
  });
}

void Recorder::sample(std::int64_t step, const data::Batch& batch) {
  tokens_->append(step, batch, machine_.model->samples());
}

void Recorder::evaluation(const Evaluation& evaluation) {
  comm::on_root(machine_.groups.world, [&] {
    rows_->append(evaluation.row);
    evaluations_->append(evaluation.routing);
    progress_.evaluation(evaluation.row.step, evaluation.row.loss, evaluation.row.bits_per_byte);
  });
}

void Recorder::non_finite(const NonFiniteError& error) {
  if (!root_) return;
  progress_.line(std::string("error: ") + error.what());
  files::write_text(folder_ + "/non_finite.json", record::non_finite_json(error.found()));
}

void Recorder::sync() {
  if (rows_) rows_->sync();
  if (evaluations_) evaluations_->sync();
  if (tokens_) tokens_->sync();
}

void Recorder::close() {
  if (rows_) rows_->close();
  if (evaluations_) evaluations_->close();
  if (tokens_) tokens_->close();
  rows_.reset(), evaluations_.reset(), tokens_.reset();
}

}  // namespace switchyard::train
