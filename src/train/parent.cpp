#include "train/parent.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/files.hpp"
#include "checkpoint/upcycle.hpp"
#include "comm/agree.hpp"
#include "config/parentage.hpp"
#include "config/values.hpp"

namespace switchyard::train {
namespace {

namespace fs = std::filesystem;
using record::Parent;

/// RUN, and the step behind the last @; −1 where none is given.
struct Named {
  std::string run;
  std::int64_t step = -1;
};

Named named(const std::string& what) {
  const auto at = what.rfind('@');
  std::error_code unreachable;
  if (at == what.npos || fs::exists(what, unreachable)) return {what, -1};
  Named found{what.substr(0, at), -1};
  const char *first = what.data() + at + 1, *last = what.data() + what.size();
  const auto [end, error] = std::from_chars(first, last, found.step);
  check(error == std::errc() && end == last && found.step >= 0, Exit::usage,
        what + ": \"" + what.substr(at + 1) + "\" is no step; write RUN@STEP, as in runs/trunk@1000");
  return found;
}

/// "steps 2, 4".
std::string steps_of(const std::vector<std::string>& folders) {
  std::vector<std::string> steps;
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder)
    steps.push_back(std::to_string(checkpoint::step_of_folder(*folder)));
  return (steps.size() == 1 ? "step " : "steps ") + join(steps);
}

std::string folder_of(const std::string& run) { return fs::absolute(fs::path(run)).lexically_normal().string(); }

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code none;
  return fs::weakly_canonical(fs::absolute(a), none) == fs::weakly_canonical(fs::absolute(b), none);
}

/// The checkpoint's folder, which has a manifest.
std::string find_checkpoint(const Named& from) {
  std::error_code unreachable;
  check(fs::is_directory(from.run, unreachable), Exit::usage,
        from.run +
            ": no run there (no such folder); give the folder of a run that switchyard train has made, or "
            "RUN@STEP");
  const std::vector<std::string> folders = checkpoint::list_checkpoints(from.run);
  check(!folders.empty(), Exit::usage, from.run + " has no checkpoint to start from; let it make one");
  if (from.step < 0) return folders.front();
  const auto found = std::ranges::find(folders, checkpoint::folder_of(from.run, from.step));
  check(found != folders.end(), Exit::usage,
        from.run + " has no checkpoint of step " + std::to_string(from.step) + " (it has those of " +
            steps_of(folders) + "; train.keep says how many a run keeps); give one of these");
  return *found;
}

void require_fit(const Parent& parent, const std::string& options, const Config& config) {
  std::vector<std::string> wrong;
  const auto violations_of = parent.kind == Parent::Kind::branch ? branch_violations : upcycle_violations;
  for (const Violation& v : violations_of(config_of_options(options), config)) wrong.push_back(v.key + " " + v.message);
  check(wrong.empty(), Exit::usage, join(wrong, "\n"));
  check(config.train.steps > parent.begins_after(), Exit::usage,
        "train.steps is " + std::to_string(config.train.steps) + ", but " + parent.checkpoint() + " has " +
            std::to_string(parent.step) + " steps already (a branch counts on from there); give more");
}

/// Options that decide results, and the length.
std::vector<OptionChange> changes_from(const checkpoint::TrainState& state, Config config) {
  config.data.path = folder_of(config.data.path);  // as a run keeps it
  std::string before = state.options;
  if (state.planned_steps > 0) before += "train.steps: " + std::to_string(state.planned_steps) + "\n";
  std::vector<OptionChange> changes = option_changes(before, config);
  std::erase_if(changes, [](const OptionChange& c) {
    return (c.key == "model.vocabulary" && c.now == "0") ||  // which the corpus tells
           (may_change_on_resume(c.key) && c.key != "train.steps");
  });
  return changes;
}

Parent choose(const Ancestor& ancestor, const Config& config, const std::string& run) {
  const Named from = named(ancestor.what);
  check(!same_folder(from.run, run), Exit::usage,
        from.run + " is the run's own folder (a run goes on with switchyard resume); choose another --run");
  const std::string folder = find_checkpoint(from);
  const checkpoint::TrainState state = checkpoint::read_state(folder);
  Parent parent{ancestor.kind, folder_of(from.run), state.step, files::sha256_of_file(folder + "/manifest.json"), {}};
  require_fit(parent, state.options, config);
  parent.changes = changes_from(state, config);
  return parent;
}

/// The checkpoint must still be the one that was chosen. On rank 0.
void require_unchanged(const Parent& parent) {
  const std::string manifest = parent.checkpoint() + "/manifest.json";
  check(files::kind_behind(manifest) != fs::file_type::not_found, Exit::usage,
        parent.checkpoint() + ", from which the run starts, is gone; put it back, or start a new run");
  check(files::sha256_of_file(manifest) == parent.sha256, Exit::corrupt,
        manifest +
            " has another sha256 than when the run was started from it; put that checkpoint back, or start a "
            "new run");
}

/// Ids of tokens must mean what they meant.
void require_same_tokens(const Parent& parent, const checkpoint::TrainState& state, const Config& config,
                         const data::Corpus& corpus) {
  const int vocabulary = config_of_options(state.options).model.vocabulary;
  check(vocabulary == config.model.vocabulary, Exit::usage,
        "model.vocabulary is " + std::to_string(config.model.vocabulary) + ", but " + std::to_string(vocabulary) +
            " in " + parent.checkpoint() +
            " (rows of the embedding would mean other tokens); give a corpus of the same tokenizer");
  check(state.tokenizer.empty() || state.tokenizer == corpus.tokenizer(), Exit::usage,
        "data.path: " + corpus.path() + " has the tokenizer " + corpus.tokenizer() + ", but " + parent.checkpoint() +
            " was trained with " + state.tokenizer +
            " (the same ids would mean other tokens); give a corpus of the same tokenizer");
}

/// A balancer without biases leaves those of the parent behind.
std::vector<std::string> take_biases(const std::vector<std::vector<float>>& biases, const Config& config,
                                     Machine& machine) {
  const bool keeps = config.moe.bias_rule != BiasRule::none;
  bool left = false;
  const auto layers = machine.model->moe_layers();
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (keeps)
      layers[i]->set_bias(machine.queue(), biases[i]);
    else
      left |= std::ranges::any_of(biases[i], [](float b) { return b != 0.0f; });
  if (!left) return {};
  return {
      "the selection biases of the parent are left behind, since moe.bias_rule is none; moe.bias_until keeps them "
      "as they are"};
}

void require_biases(const Parent& parent, const checkpoint::TrainState& state, const Machine& machine) {
  const auto layers = machine.model->moe_layers();
  bool fits = state.bias.size() == layers.size();
  for (std::size_t i = 0; fits && i < layers.size(); ++i) fits = state.bias[i].size() == layers[i]->bias().size();
  check(fits, Exit::corrupt, parent.checkpoint() + "/state.json is damaged (biases of other layers)");
}

checkpoint::TrainState load(const Parent& parent, Machine& machine) try {
  const auto load_by = parent.kind == Parent::Kind::branch ? checkpoint::load_checkpoint : checkpoint::load_upcycled;
  checkpoint::TrainState state;
  comm::agree(machine.groups.world, [&] { state = load_by(parent.checkpoint(), machine.groups, machine.parameters); });
  return state;
} catch (const AgreedError& e) {
  if (e.code() != Exit::corrupt) throw;
  std::vector<std::string> others = checkpoint::list_checkpoints(parent.run);
  std::erase(others, parent.checkpoint());
  throw AgreedError(Exit::corrupt, std::string(e.what()) + "\nswitchyard: " + parent.run +
                                       (others.empty() ? " has no other checkpoint to start from"
                                                       : " has others, of " + steps_of(others) +
                                                             "; start from one of them with --from RUN@STEP"));
}

}  // namespace

std::optional<Parent> choose_parent(const comm::Communicator& world, const Ancestor& ancestor, const Config& config,
                                    const std::string& run) {
  if (ancestor.what.empty()) return std::nullopt;
  std::string text;
  comm::on_root(world, [&] { text = record::parent_text(choose(ancestor, config, run)); });
  return record::parse_parent(comm::broadcast(world, text, 0), record::parent_file);
}

Begun begin_from(const Parent& parent, const Config& config, const data::Corpus& corpus, Machine& machine) {
  const comm::Communicator& world = machine.groups.world;
  comm::on_root(world, [&] {
    require_unchanged(parent);
    require_same_tokens(parent, checkpoint::read_state(parent.checkpoint()), config, corpus);
  });
  Begun begun{load(parent, machine), {}};
  machine.parameters.round_weights(machine.queue());
  if (parent.kind == Parent::Kind::upcycled) {  // steps, moments and biases are those of a new run
    begun.state = {};
    if (const std::string note = upcycle_note(config); !note.empty()) begun.notes = {note};
    return begun;
  }
  comm::agree(world, [&] { require_biases(parent, begun.state, machine); });
  begun.notes = take_biases(begun.state.bias, config, machine);
  return begun;
}

}  // namespace switchyard::train
