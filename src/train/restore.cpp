#include "train/restore.hpp"

#include <algorithm>

#include "comm/agree.hpp"
#include "config/yaml.hpp"
#include "record/segments.hpp"
#include "train/parent.hpp"
#include "train/run_corpus.hpp"

namespace switchyard::train {
namespace {

/// The run must continue as what it was, also where config.yaml was edited. `options` as by invariant_options.
void check_continuation(const std::string& run, const std::string& options, const Config& config) {
  const auto changes = resume_changes(options, config);
  if (!changes.empty())
    throw Error(Exit::usage, run + "/config.yaml: " + changes.front().key + ": " + changes.front().message);
}

/// What the checkpoint says beside the parameters must fit the run.
void take_state(const checkpoint::TrainState& state, const RunParts& run, Machine& machine) {
  const auto layers = machine.model->moe_layers();
  comm::agree(machine.groups.world, [&] {
    require_same_corpus(state, run.corpus, run.folder);
    check_continuation(run.folder, state.options, run.config);
    bool fits = state.bias.size() == layers.size();
    for (std::size_t i = 0; fits && i < layers.size(); ++i) fits = state.bias[i].size() == layers[i]->bias().size();
    check(fits, Exit::corrupt, run.folder + ": the checkpoint's state.json is damaged (biases of other layers)");
  });
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i]->set_bias(machine.queue(), state.bias[i]);
  machine.parameters.round_weights(machine.queue());
}

class Restoring {
 public:
  Restoring(const RunParts& parts, const Ancestry& parent, Machine& machine)
      : parts_(parts), parent_(parent), machine_(machine), world_(machine.groups.world) {}
  Restored work();

 private:
  std::int64_t begin() const { return parent_ ? parent_->begins_after() : 0; }
  void check_rows() const;
  void set_aside_unreadable();

  const RunParts& parts_;
  const Ancestry& parent_;
  Machine& machine_;
  const comm::Communicator& world_;
  Restored result_;
};

/// The rows that stand there must be those of this run, and within it. On rank 0.
void Restoring::check_rows() const {
  const std::string& run = parts_.folder;
  const Config& config = parts_.config;
  const std::int64_t done = std::max(checkpoint::checkpoint_step(run), begin());
  const record::LastRows last = record::last_rows(run, done, begin());
  check(last.step <= config.train.steps, Exit::usage,
        run + ": train.steps is " + std::to_string(config.train.steps) + ", but rows up to step " +
            std::to_string(last.step) + " are recorded; give at least that many");
  if (!last.config.empty()) check_continuation(run, invariant_options(load_text(run, last.config).config), config);
}

/// Record files that do not open must not stand in the way of a sound checkpoint. What they held is gone, unless the
/// steps from here on replace it. On rank 0.
void Restoring::set_aside_unreadable() {
  const record::LastRows last = record::last_rows(parts_.folder, result_.state.step, begin());
  for (const auto& [path, why] : last.unreadable)
    result_.notes.push_back(why + "; set aside as " + record::set_aside(path));
  for (const std::string& hole : last.missing) result_.notes.push_back(parts_.folder + ": " + hole);
}

Restored Restoring::work() {
  comm::on_root(world_, [&] { check_rows(); });
  Loaded loaded = load_newest(parts_, machine_);
  if (!loaded.folder.empty()) {
    result_.state = std::move(loaded.state);
    result_.lines = {"resumed from " + loaded.folder + " at step " + std::to_string(result_.state.step)};
    result_.saved_step = result_.state.step;
  } else {
    result_ = start(parts_, parent_, machine_);
    result_.lines.front() = "no checkpoint yet: " + result_.lines.front();
  }
  result_.notes.insert(result_.notes.end(), loaded.notes.begin(), loaded.notes.end());
  comm::on_root(world_, [&] { set_aside_unreadable(); });
  return std::move(result_);
}

}  // namespace

Loaded load_newest(const RunParts& parts, Machine& machine) {
  const std::string& run = parts.folder;
  const comm::Communicator& world = machine.groups.world;
  Loaded result;
  std::vector<std::string> folders;
  comm::on_root(world, [&] {
    folders = checkpoint::list_checkpoints(run);
    const std::string newest = checkpoint::newest_folder(run);
    if (!newest.empty() && (folders.empty() || newest != folders.front()))
      result.notes.push_back(newest + " has no manifest.json (it is not whole); taking the checkpoint before it");
  });
  std::int64_t count = static_cast<std::int64_t>(folders.size());
  comm::broadcast(world, &count, sizeof count, 0);
  folders.resize(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string folder = comm::broadcast(world, folders[i], 0);
    try {
      comm::agree(world,
                  [&] { result.state = checkpoint::load_checkpoint(folder, machine.groups, machine.parameters); });
      result.folder = folder;
      break;
    } catch (const AgreedError& e) {
      if (e.code() != Exit::corrupt) throw;
      if (i + 1 == count)
        throw AgreedError(Exit::corrupt, std::string(e.what()) + "\nswitchyard: " + run +
                                             " has no other checkpoint; start a new run, or move " + run +
                                             "/checkpoints away to begin this one again");
      result.notes.push_back(std::string(e.what()) + "; trying the checkpoint before it");
    }
  }
  if (!result.folder.empty()) take_state(result.state, parts, machine);
  return result;
}

Restored start(const RunParts& run, const Ancestry& parent, Machine& machine) {
  Restored started;
  if (parent) {
    Begun begun = begin_from(*parent, run.config, run.corpus, machine);
    started.state = std::move(begun.state), started.notes = std::move(begun.notes);
  }
  started.state.corpus_sha256 = run.corpus.manifest_sha256();
  started.state.planned_steps = 0;  // of another run
  started.lines = {"starting from step " + std::to_string(started.state.step)};
  if (parent)
    for (const std::string& line : record::parent_lines(*parent)) started.lines.push_back(line);
  return started;
}

Restored restore(const RunParts& run, const Ancestry& parent, Machine& machine) {
  return Restoring(run, parent, machine).work();
}

}  // namespace switchyard::train
