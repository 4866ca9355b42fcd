#include "train/trainer.hpp"

#include <chrono>
#include <optional>

#include "comm/collectives.hpp"
#include "record/checkpoint.hpp"
#include "record/provenance.hpp"
#include "record/run_folder.hpp"
#include "tensor/region.hpp"
#include "train/agree.hpp"
#include "train/evaluate.hpp"
#include "train/probe.hpp"
#include "train/recorder.hpp"
#include "train/signals.hpp"

namespace switchyard::train {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Opens the corpus on every rank and takes its vocabulary where the configuration leaves it open.
data::Corpus open_corpus(const comm::Communicator& world, Config& config) {
  std::optional<data::Corpus> corpus;
  agree(world, [&] {
    corpus.emplace(data::Corpus::open(config.data.path));
    if (config.model.vocabulary == 0) config.model.vocabulary = corpus->vocabulary();
    check(config.model.vocabulary >= corpus->vocabulary(), Exit::usage,
          "model.vocabulary is " + std::to_string(config.model.vocabulary) + ", but the corpus " + config.data.path +
              " has " + std::to_string(corpus->vocabulary()) + " tokens; set it to 0 to take the corpus's");
  });
  return std::move(*corpus);
}

class Trainer {
 public:
  explicit Trainer(const TrainRequest& request);
  Exit run();

 private:
  void restore();
  bool load_newest();
  void one_step(std::int64_t step);
  void evaluate_now(std::int64_t step);
  void checkpoint_now(std::int64_t step);
  void finish(std::int64_t step);
  bool must_stop(std::int64_t step);
  bool due(std::int64_t interval, std::int64_t step) const { return interval > 0 && step % interval == 0; }

  const TrainRequest& request_;
  Clock::time_point start_ = Clock::now();
  StopSignals signals_;
  comm::Communicator world_;
  Config config_;
  std::optional<record::RunFolder> folder_;  // rank 0
  data::Corpus corpus_;
  Machine machine_;
  std::optional<data::Batches> batches_;
  std::optional<Recorder> recorder_;
  record::TrainState state_;
  std::int64_t saved_step_ = -1;
  double longest_step_ = 0.0, longest_checkpoint_ = 0.0;  // s
};

Trainer::Trainer(const TrainRequest& request)
    : request_(request),
      world_(comm::Communicator::duplicate(MPI_COMM_WORLD)),
      config_(request.config),
      corpus_(open_corpus(world_, config_)),
      machine_(config_, comm::Communicator::duplicate(MPI_COMM_WORLD)) {
  agree(world_, [&] {
    batches_.emplace(corpus_, config_, machine_.groups.layout);
    probe_products(config_);
  });
  const std::string config_text = dump(config_, request.origins);
  std::string segment;
  on_root(world_, [&] {
    folder_.emplace(request.run);
    check(request.resume || record::RunFolder::count_segments(request.run) == 0, Exit::usage,
          request.run + " holds a run already; continue it with switchyard resume, or choose another --run");
    folder_->write("config.yaml", config_text);
    segment = folder_->start_segment();
  });
  segment = comm::all_gather(world_, segment).front();
  const std::string provenance = record::provenance_json(world_, request.command_line, config_.layout.threads);
  agree(world_, [&] {
    recorder_.emplace(machine_, corpus_, *batches_, RecordTexts{segment, config_text, provenance});
  });
  if (folder_ && !folder_->warning().empty()) recorder_->log().warn(folder_->warning());
  restore();
}

/// Loads the newest checkpoint that is sound; a damaged one is said, and the one before it is tried.
bool Trainer::load_newest() {
  std::vector<std::string> folders;
  on_root(world_, [&] { folders = record::list_checkpoints(request_.run); });
  std::int64_t count = static_cast<std::int64_t>(folders.size());
  comm::broadcast(world_, &count, sizeof count, 0);
  folders.resize(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string folder = comm::all_gather(world_, folders[i]).front();
    try {
      agree(world_, [&] { state_ = record::load_checkpoint(folder, machine_.groups, machine_.parameters); });
      recorder_->log().line("resumed from " + folder + " at step " + std::to_string(state_.step));
      return true;
    } catch (const AgreedError& e) {
      if (e.code() != Exit::corrupt || i + 1 == count) throw;
      recorder_->log().warn(std::string(e.what()) + "; trying the checkpoint before it");
    }
  }
  return false;
}

/// Continues from a checkpoint; a run that was stopped before its first one starts over.
void Trainer::restore() {
  if (!request_.resume || !load_newest()) {
    recorder_->log().line(request_.resume ? "no checkpoint yet: starting from step 0" : "starting from step 0");
    state_.corpus_sha256 = corpus_.manifest_sha256();
    return;
  }
  if (state_.corpus_sha256 != corpus_.manifest_sha256())
    throw AgreedError(Exit::usage, config_.data.path + " is not the corpus that " + request_.run +
                                       " was trained on (its manifest has another sha256); put that corpus back");
  const auto layers = machine_.model->moe_layers();
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i]->set_bias(state_.bias.at(i));
  saved_step_ = state_.step;
}

void Trainer::one_step(std::int64_t step) {
  const auto start = Clock::now();
  machine_.timers.clear();
  data::Batch batch;
  {
    Region region(machine_.timers, Phase::data);
    batch = batches_->train(step - 1);
  }
  const StepResult result = train_step(machine_, batch, step);
  state_.step = step;
  state_.tokens += config_.step_tokens();
  const double seconds = seconds_since(start);
  longest_step_ = std::max(longest_step_, seconds);
  recorder_->step(step, result, batch, seconds);
}

void Trainer::evaluate_now(std::int64_t step) { recorder_->evaluation(evaluate(machine_, corpus_, *batches_, step)); }

void Trainer::checkpoint_now(std::int64_t step) {
  if (saved_step_ == step) return;
  recorder_->sync();
  const auto start = Clock::now();
  state_.bias.clear();
  for (moe::Layer* layer : machine_.model->moe_layers()) state_.bias.push_back(layer->bias());
  record::save_checkpoint(request_.run, config_, machine_.groups, machine_.parameters, state_);
  saved_step_ = step;
  longest_checkpoint_ = std::max(longest_checkpoint_, seconds_since(start));
}

/// Whether some rank got a signal or the time is nearly over; the same answer on every rank.
bool Trainer::must_stop(std::int64_t step) {
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
  recorder_->close();
  checkpoint_now(step);
}

Exit Trainer::run() {
  try {
    while (state_.step < config_.train.steps) {
      const std::int64_t step = state_.step + 1;
      one_step(step);
      if (due(config_.train.evaluate_every, step)) evaluate_now(step);
      if (due(config_.train.checkpoint_every, step)) checkpoint_now(step);
      if (step < config_.train.steps && must_stop(step)) {
        finish(step);
        return Exit::again;
      }
    }
  } catch (const NonFiniteError& e) {
    recorder_->non_finite(e);
    recorder_->close();
    throw;
  } catch (const AgreedError& e) {
    recorder_->log().line(std::string("error: ") + e.what());
    recorder_->close();
    throw;
  }
  finish(state_.step);
  recorder_->log().line("finished " + std::to_string(state_.step) + " steps");
  return Exit::ok;
}

}  // namespace

Exit run_training(const TrainRequest& request) { return Trainer(request).run(); }

}  // namespace switchyard::train
