#include "checkpoint/checkpoint.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>

#include "base/files.hpp"
#include "base/json.hpp"
#include "base/schema_version.hpp"
#include "checkpoint/tensor_files.hpp"
#include "comm/agree.hpp"
#include "config/yaml.hpp"

namespace switchyard::checkpoint {
namespace {

namespace fs = std::filesystem;

std::string step_name(std::int64_t step) {
  char text[40];
  std::snprintf(text, sizeof text, "step-%08lld", static_cast<long long>(step));
  return text;
}

/// Step of a folder name; −1 for any other name.
std::int64_t step_of(const std::string& name) {
  std::int64_t step = -1;
  if (!name.starts_with("step-")) return -1;
  std::from_chars(name.data() + 5, name.data() + name.size(), step);
  return step >= 0 && step_name(step) == name ? step : -1;
}

/// Steps and folders of all checkpoints, complete or not, newest first.
std::vector<std::pair<std::int64_t, std::string>> checkpoint_folders(const std::string& run) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  for (const auto& entry : files::entries_of(run + "/checkpoints"))
    if (const std::int64_t step = step_of(entry.path().filename().string()); step >= 0)
      found.emplace_back(step, entry.path().string());
  std::sort(found.rbegin(), found.rend());
  return found;
}

/// An empty folder to write into; what a killed job left is removed.
void prepare_folder(const std::string& checkpoints, const std::string& aside) {
  std::error_code error;
  files::make_folders(checkpoints);
  for (const auto& entry : fs::directory_iterator(checkpoints)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(".step-", 0) == 0) fs::remove_all(entry.path(), error);
  }
  if (!fs::create_directory(aside, error)) files::throw_system_error(error.value(), "create", aside);
}

std::string state_text(const Config& config, const TrainState& state) {
  nlohmann::ordered_json json;
  json["schema"] = "switchyard-checkpoint";
  json["schema_version"] = schema_version;
  json["step"] = state.step;
  json["tokens"] = state.tokens;
  json["planned_steps"] = config.train.steps;
  json["bias"] = state.bias;
  json["options"] = invariant_options(config);
  json["corpus_sha256"] = state.corpus_sha256;
  json["tokenizer"] = state.tokenizer;
  if (!state.parent.empty()) json["parent"] = nlohmann::ordered_json::parse(state.parent);
  return json.dump(1) + "\n";
}

TrainState parse_state(const std::string& text, const std::string& path) {
  const std::string advice = "; use an older checkpoint";
  TrainState state = parse_json(text, path, advice, [](const nlohmann::json& json) {
    constexpr std::int64_t max = std::numeric_limits<std::int64_t>::max();
    const std::int64_t planned = json.contains("planned_steps") ? whole(json, "planned_steps", 0, max) : 0;
    return TrainState{whole(json, "step", 0, max),
                      whole(json, "tokens", 0, max),
                      json.at("bias"),
                      json.at("corpus_sha256"),
                      json.at("options"),
                      planned,
                      json.value("tokenizer", ""),
                      json.contains("parent") ? json.at("parent").dump() : ""};
  });
  const std::string folder = fs::path(path).parent_path().filename().string();
  check(step_name(state.step) == folder, Exit::corrupt,
        path + " is damaged (it is not of the step in its folder's name)" + advice);
  return state;
}

/// Removes all but the newest train.keep up to this step, and those of train.keep_steps, which do not count. Later ones
/// stand after a fall-back to an older checkpoint; they are replaced when the run reaches them.
void prune(const std::string& run, std::int64_t step, const TrainConfig& train) try {
  int kept = 0;
  for (const std::string& folder : list_checkpoints(run)) {
    const std::int64_t of = step_of_folder(folder);
    const bool stays = std::ranges::find(train.keep_steps, of) != train.keep_steps.end();
    if (of > step || stays || ++kept <= std::max(train.keep, 1)) continue;
    // The manifest goes first: a half-removed checkpoint must not look complete. Of a link nothing but itself goes.
    std::error_code ignored;
    if (!fs::is_symlink(folder, ignored)) fs::remove(folder + "/manifest.json", ignored);
    fs::remove_all(folder, ignored);
  }
} catch (const Error&) {  // one that cannot be looked at: the new one stands, the next time may do better
}

/// What every rank wrote, on every rank.
std::vector<ManifestEntry> gather_entries(const comm::Communicator& world, const std::vector<ManifestEntry>& mine) {
  std::vector<ManifestEntry> all;
  for (const std::string& text : comm::all_gather(world, manifest_text(mine)))
    for (auto& entry : parse_manifest(text, "a rank's manifest")) all.push_back(std::move(entry));
  return all;
}

/// The checkpoint's files must be those of the model: no block more, no expert less.
void check_names(const std::vector<ManifestEntry>& entries, const ParameterSet& parameters, const std::string& folder) {
  std::vector<std::string> wanted{"dense.h5", "state.json"}, found;
  for (const auto& part : expert_files(parameters)) wanted.push_back(part.name());
  for (const auto& entry : entries) found.push_back(entry.name);
  std::sort(wanted.begin(), wanted.end());
  std::sort(found.begin(), found.end());
  check(wanted == found, Exit::usage,
        folder + " is of another model (it has other experts or blocks); resume with the configuration that wrote it");
}

}  // namespace

void save_checkpoint(const std::string& run, const Config& config, const comm::Groups& groups,
                     const ParameterSet& parameters, const TrainState& state) {
  const bool first = groups.world.rank() == 0;
  const std::string checkpoints = run + "/checkpoints", name = step_name(state.step),
                    aside = checkpoints + "/." + name + ".tmp";
  try {
    comm::on_root(groups.world, [&] { prepare_folder(checkpoints, aside); });
    std::optional<WriteMemory> memory;
    comm::agree(groups.world, [&] { memory.emplace(groups, parameters); });
    std::vector<ManifestEntry> entries;
    comm::agree(groups.world, [&] { entries = write_tensors(aside, groups, parameters, *memory); });
    memory.reset();
    entries = gather_entries(groups.world, entries);
    comm::on_root(groups.world, [&] {
      files::write_text(aside + "/state.json", state_text(config, state));
      entries.push_back(measure_file(aside, "state.json"));
      files::write_text(aside + "/manifest.json", manifest_text(entries));
      files::replace_folder(aside, checkpoints + "/" + name);
      prune(run, state.step, config.train);
    });
  } catch (const Error&) {
    std::error_code ignored;
    if (first) fs::remove_all(aside, ignored);
    throw;
  }
}

std::string folder_of(const std::string& run, std::int64_t step) { return run + "/checkpoints/" + step_name(step); }

std::int64_t step_of_folder(const std::string& folder) { return step_of(fs::path(folder).filename().string()); }

std::vector<std::string> list_checkpoints(const std::string& run) {
  std::vector<std::string> folders;
  for (const auto& [step, folder] : checkpoint_folders(run))
    if (files::kind_at(folder + "/manifest.json") != fs::file_type::not_found) folders.push_back(folder);
  return folders;
}

std::vector<std::string> strangers_of(const std::string& run) {
  std::vector<std::string> found;
  for (const auto& entry : files::entries_of(run + "/checkpoints")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && step_of(name) < 0) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string newest_folder(const std::string& run) {
  const auto folders = checkpoint_folders(run);
  return folders.empty() ? "" : folders.front().second;
}

std::string latest_checkpoint(const std::string& run) {
  const auto folders = list_checkpoints(run);
  return folders.empty() ? "" : folders.front();
}

TrainState read_state(const std::string& folder) {
  const std::string manifest = folder + "/manifest.json", state = folder + "/state.json";
  for (const ManifestEntry& entry : parse_manifest(files::read_text(manifest), manifest))
    if (entry.name == "state.json") {
      check_file(folder, entry);
      return parse_state(files::read_text(state), state);
    }
  throw Error(Exit::corrupt, manifest + " is damaged (it does not list state.json); use an older checkpoint");
}

std::int64_t checkpoint_step(const std::string& run, std::string* damage) {
  for (const std::string& folder : list_checkpoints(run)) try {
      return read_state(folder).step;
    } catch (const Error& e) {
      if (damage && damage->empty()) *damage = e.what();
    }
  return 0;
}

std::vector<ManifestEntry> check_files(const std::string& folder, const comm::Communicator& world) {
  const std::string manifest = folder + "/manifest.json";
  std::string text;
  comm::on_root(world, [&] { text = files::read_text(manifest); });
  const auto entries = parse_manifest(comm::broadcast(world, text, 0), manifest);
  comm::agree(world, [&] {
    for (std::size_t i = 0; i < entries.size(); ++i)
      if (static_cast<int>(i % world.size()) == world.rank()) check_file(folder, entries[i]);
  });
  return entries;
}

TrainState load_checkpoint(const std::string& folder, const comm::Groups& groups, ParameterSet& parameters) {
  const comm::Communicator& world = groups.world;
  const std::string state_path = folder + "/state.json";
  check_names(check_files(folder, world), parameters, folder);
  std::string text;
  comm::agree(world, [&] {
    if (world.rank() == 0) text = files::read_text(state_path);
    read_tensors(folder, groups, parameters);
  });
  share_tensors(groups, parameters);
  return parse_state(comm::broadcast(world, text, 0), state_path);
}

}  // namespace switchyard::checkpoint
