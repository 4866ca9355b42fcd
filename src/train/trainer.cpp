#include "train/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>

#include "base/activity.hpp"
#include "base/signals.hpp"
#include "checkpoint/checkpoint.hpp"
#include "comm/agree.hpp"
#include "config/estimate.hpp"
#include "record/kept_config.hpp"
#include "record/provenance.hpp"
#include "record/run_folder.hpp"
#include "record/segments.hpp"
#include "tensor/region.hpp"
#include "tensor/room_bytes.hpp"
#include "train/captured.hpp"
#include "train/choose_lanes.hpp"
#include "train/evaluate.hpp"
#include "train/probe.hpp"
#include "train/recorder.hpp"
#include "train/restore.hpp"
#include "train/run_corpus.hpp"
#include "train/schedule.hpp"
#include "train/signals.hpp"
#include "train/watchdog.hpp"

namespace switchyard::train {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Trainer {
 public:
  explicit Trainer(const TrainRequest& request);
  Exit run();

 private:
  void begin();
  void write_config();
  void start_segment();
  void write_head();
  void one_step(std::int64_t step);
  void evaluate_now(std::int64_t step);
  void checkpoint_now(std::int64_t step, activity::Part part = activity::Part::checkpoint);
  void finish(std::int64_t step);
  void write_measured();
  void end_after_error(const std::function<void()>& write_down);
  bool must_stop(std::int64_t step);
  /// Rows are written in whole chunks that end at multiples of record.flush_every. A segment that starts between two of
  /// them ends with its first, short chunk; any other when its files are full.
  bool segment_ends() const {
    const bool whole = segment_start_ % config_.record.flush_every == 0;
    return whole ? record::is_full(config_, segment_start_, state_.step)
                 : state_.step % config_.record.flush_every == 0;
  }
  bool is_kept(std::int64_t step) const {
    return std::ranges::find(config_.train.keep_steps, step) != config_.train.keep_steps.end();
  }
  bool due(std::int64_t interval, std::int64_t step) const { return interval > 0 && step % interval == 0; }

  const TrainRequest& request_;
  Clock::time_point start_ = Clock::now();
  StopSignals signals_;
  comm::Communicator world_;
  Watchdog watchdog_;
  Config config_;
  std::optional<record::RunFolder> folder_;  // rank 0
  std::string config_text_, provenance_;
  std::vector<std::string> notes_;    // the request's, and of the corpus
  std::vector<std::string> loading_;  // what happened before there was a log
  data::Corpus corpus_;
  LaneChoice lanes_;
  Machine machine_;
  std::optional<ForecastWatch> forecast_;  // of layout.machine
  std::optional<data::Batches> batches_;
  BatchSource read_ = [this](std::int64_t step) {  // a damaged shard ends all ranks, rows kept
    data::Batch batch;
    comm::agree(world_, [&] { batch = batches_->train(step); });
    return batch;
  };
  std::optional<Recorder> recorder_;
  checkpoint::TrainState state_;
  std::int64_t saved_step_ = -1, segment_start_ = 0;
  double longest_step_ = 0.0, longest_checkpoint_ = 0.0;  // s, a step with its rows and its evaluation
};

Trainer::Trainer(const TrainRequest& request)
    : request_(request),
      world_(comm::Communicator::duplicate(MPI_COMM_WORLD)),
      watchdog_(world_, request.config.layout.timeout),
      config_(request.config),
      notes_(request.notes),
      corpus_(open_corpus(world_, config_, request.resume)),
      lanes_(settle_lanes(config_, world_, request.resume ? request.run : "")),
      machine_(config_, comm::Communicator::duplicate(MPI_COMM_WORLD)) {
  RoomBytes::forget_most();  // of machines that measured lanes
  record::require_one_kind(record::what_computes(world_));
  comm::agree(world_, [&] {
    batches_.emplace(corpus_, config_, machine_.groups.layout);
    if (config_.train.determinism == Determinism::layout) probe_products(config_);
  });
  begin();
  if (request.predict) forecast_.emplace(request.predict(config_, machine_.groups.nodes));
  for (const std::string& note : {batches_->evaluation_note(), watchdog_.note()})
    if (!note.empty()) notes_.push_back(note);
  provenance_ = record::provenance_json(world_, {request.command_line, notes_, config_.layout.threads, state_.parent});
  write_config();
  if (state_.step < config_.train.steps) start_segment();
}

/// Takes the run's folder and its state, of which nothing is touched before. What a new run starts from is read before
/// there is a folder.
void Trainer::begin() {
  const RunParts parts{request_.run, config_, corpus_};
  Restored begun;
  if (!request_.resume) begun = start(parts, request_.parent, machine_);
  comm::on_root(world_, [&] {
    folder_.emplace(request_.run,
                    request_.resume ? record::RunFolder::Start::resumed : record::RunFolder::Start::fresh);
  });
  if (request_.resume) begun = restore(parts, request_.parent, machine_);
  state_ = std::move(begun.state), saved_step_ = begun.saved_step;
  state_.tokenizer = corpus_.tokenizer();
  if (request_.parent) state_.parent = record::parent_text(*request_.parent);
  loading_ = begun.lines;
  for (const std::string& note : begun.notes)
    if (folder_) std::fprintf(stderr, "switchyard: note: %s\n", note.c_str());
  notes_.insert(notes_.end(), begun.notes.begin(), begun.notes.end());
  const std::string jump =  // checkpoints of earlier programs do not tell
      state_.planned_steps ? schedule_note(state_.planned_steps, config_.train, state_.step) : "";
  if (!jump.empty()) notes_.push_back(jump);
}

/// The folder keeps layout.lanes as it was given, so that a resume, perhaps on another layout, measures again where it
/// is 0; records of a segment have what it ran with.
void Trainer::write_config() {
  Config given = config_;
  given.layout.lanes = request_.config.layout.lanes;
  const std::string kept = dump(given, request_.origins) + record::config_end;
  Origins origins = request_.origins;
  if (given.layout.lanes == 0) origins["layout.lanes"] = {Origin::Kind::file, "measured before the run"};
  config_text_ = dump(config_, origins) + record::config_end;
  comm::on_root(world_, [&] {  // a run with a config.yaml has begun: its parent must be known before
    if (request_.parent && !request_.resume) folder_->write(record::parent_file, state_.parent);
    if (!request_.parent) folder_->remove(record::parent_file);
    folder_->write("config.yaml", kept);
  });
}

/// A new folder for the rows from here on.
void Trainer::start_segment() {
  activity::begin(activity::Part::segment);
  if (recorder_) {
    comm::agree(world_, [&] { recorder_->close(); });
    loading_ = {"continues the segment before, at step " + std::to_string(state_.step)};
  }
  std::string segment;
  comm::on_root(world_, [&] { segment = folder_->start_segment(); });
  segment = comm::broadcast(world_, segment, 0);
  watchdog_.log_to(segment + "/log.txt");
  comm::agree(world_, [&] {
    recorder_.emplace(machine_, corpus_, *batches_,
                      SegmentStart{segment, config_text_, provenance_, state_.step, forecast_ ? &*forecast_ : nullptr});
  });
  segment_start_ = state_.step;
  write_head();
}

/// The first lines of the log: what runs where, and what is unlike what was asked for.
void Trainer::write_head() {
  Progress& log = recorder_->log();
  for (const std::string& line : record::provenance_lines(provenance_)) log.line(line);
  if (machine_.groups.layout.expert_parallel > 1) log.line(machine_.way());
  if (Graph::available()) log.line(graph_text(config_, machine_.groups.world.size()));
  if (!lanes_.text.empty()) log.line(lanes_.text);
  if (forecast_) forecast_->predicts() ? log.line(forecast_->line()) : log.warn(forecast_->line());
  for (const std::string& note : notes_) log.warn(note);
  if (folder_ && !folder_->warning().empty()) log.warn(folder_->warning());
  for (const std::string& event : loading_) log.line(event);
}

void Trainer::one_step(std::int64_t step) {
  const StepResult result = train_step(machine_, read_, step);
  state_.step = step;
  state_.tokens += config_.step_tokens();
  activity::begin(activity::Part::record);
  recorder_->step(step, result);
}

/// What is sent inside an evaluation counts in no phase of a step.
void Trainer::evaluate_now(std::int64_t step) {
  activity::begin(activity::Part::evaluation);
  const auto bytes = machine_.timers.bytes;
  const Evaluation evaluation = evaluate(machine_, corpus_, *batches_, step);
  machine_.timers.bytes = bytes;
  recorder_->evaluation(evaluation);
}

void Trainer::checkpoint_now(std::int64_t step, activity::Part part) {
  if (saved_step_ == step) return;
  activity::begin(part);
  const auto start = Clock::now();
  Region region(machine_.timers, Phase::checkpoint);
  comm::agree(world_, [&] { recorder_->sync(); });
  state_.bias.clear();
  for (moe::Layer* layer : machine_.model->moe_layers()) state_.bias.push_back(layer->bias());
  checkpoint::save_checkpoint(request_.run, config_, machine_.groups, machine_.parameters, state_);
  saved_step_ = step;
  longest_checkpoint_ = std::max(longest_checkpoint_, seconds_since(start));
}

/// Whether some rank got a signal or the time is nearly over; the same answer on every rank.
bool Trainer::must_stop(std::int64_t step) {
  activity::begin(activity::Part::agreement);
  const double limit = config_.train.max_time;
  const bool over = limit > 0.0 && seconds_since(start_) + longest_step_ + longest_checkpoint_ >= 0.99 * limit;
  std::int64_t reasons[2] = {StopSignals::received(), over};
  comm::all_reduce_max(world_, reasons, 2);
  if (!reasons[0] && !reasons[1]) return false;
  recorder_->log().line("stopping after step " + std::to_string(step) + ": " +
                        (reasons[0] ? signal_name(static_cast<int>(reasons[0])) : "train.max_time"));
  return true;
}

/// The rows first: a checkpoint must not outlive the rows before it.
void Trainer::finish(std::int64_t step) {
  activity::begin(activity::Part::end);
  comm::agree(world_, [&] { recorder_->close(); });
  checkpoint_now(step, activity::Part::end);
  write_measured();
  recorder_->log().line("memory of rank 0: " + mebibytes(machine_.parameters.placed_bytes()) +
                        " of parameters, moments and gradients, " + mebibytes(machine_.model->placed_bytes()) +
                        " of a pass, and at most " + mebibytes(RoomBytes::most()) + " that grow with the loads");
}

/// What was left to measurements, and what they say of a prediction.
void Trainer::write_measured() {
  Progress& log = recorder_->log();
  if (!machine_.pace.fixed() && machine_.groups.layout.expert_parallel > 1)
    log.line("rows on their way were looked after every " + milliseconds(machine_.pace.interval()) +
             " while rank 0 computed, by what that takes (layout.poll 0)");
  const ForecastWatch::Verdict verdict = forecast_ ? forecast_->verdict() : ForecastWatch::Verdict{};
  if (!verdict.text.empty()) verdict.short_of_it ? log.warn(verdict.text) : log.line(verdict.text);
}

/// Writes down the error and the rows that still wait, where that is possible; the first error is the one to tell of.
void Trainer::end_after_error(const std::function<void()>& write_down) {
  for (const auto& work : {write_down, std::function<void()>([&] { recorder_->close(); })}) try {
      comm::agree(world_, work);
    } catch (const AgreedError&) {
    }
}

Exit Trainer::run() {
  if (!recorder_) {
    if (folder_)
      std::printf("%s has its %lld steps already\n", request_.run.c_str(), static_cast<long long>(state_.step));
    return Exit::ok;
  }
  try {
    while (state_.step < config_.train.steps) {
      const std::int64_t step = state_.step + 1;
      const auto start = Clock::now();
      if (segment_ends()) start_segment();
      one_step(step);
      if (due(config_.train.evaluate_every, step)) evaluate_now(step);
      longest_step_ = std::max(longest_step_, seconds_since(start));
      if (due(config_.train.checkpoint_every, step) || is_kept(step)) checkpoint_now(step);
      if (step < config_.train.steps && must_stop(step)) {
        finish(step);
        recorder_->log().line("stopped with a checkpoint of step " + std::to_string(step) + "; switchyard resume " +
                              request_.run + " goes on");
        return Exit::again;
      }
    }
    finish(state_.step);
  } catch (const NonFiniteError& e) {
    end_after_error([&] { recorder_->non_finite(e); });
    throw;
  } catch (const AgreedError& e) {
    end_after_error([&] { recorder_->log().line(std::string("error: ") + e.what()); });
    throw;
  }
  recorder_->log().line("finished " + std::to_string(state_.step) + " steps");
  return Exit::ok;
}

}  // namespace

Exit run_training(const TrainRequest& request) { return Trainer(request).run(); }

}  // namespace switchyard::train
