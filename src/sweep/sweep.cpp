// The folder of a sweep: what it keeps of the sweep file, so that every task finds the same.
#include "sweep/sweep.hpp"

#include <filesystem>
#include <limits>
#include <set>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/json.hpp"
#include "base/lock.hpp"
#include "base/new_folder.hpp"
#include "config/yaml.hpp"
#include "sweep/branches.hpp"

namespace switchyard::sweep {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* schema = "switchyard-sweep";
constexpr int version = 1;

std::string file_of(const std::string& folder) { return folder + "/sweep.json"; }

std::string text_of(const Sweep& sweep) try {
  Json json{{"schema", schema},     {"schema_version", version},
            {"name", sweep.name},   {"configuration", sweep.configuration},
            {"ranks", sweep.ranks}, {"tasks", Json::array()}};
  for (const Task& t : sweep.tasks) {
    Json task{{"name", t.name},
              {"arm", t.arm},
              {"experts", t.experts},
              {"top_k", t.top_k},
              {"granularity", t.granularity},
              {"seed", t.seed},
              {"overrides", t.overrides}};
    if (t.is_trunk) task["is_trunk"] = true;
    if (t.from > 0) task["steps"] = t.steps, task["from"] = t.from;
    json["tasks"].push_back(std::move(task));
  }
  return json.dump(1) + "\n";
} catch (const Json::exception& e) {
  throw Error(Exit::usage, sweep.name + ": a sweep must be of UTF-8 (" + e.what() + "); rename what is not");
}

int count(const Json& j, const char* key) {
  return static_cast<int>(whole(j, key, 1, std::numeric_limits<int>::max()));
}

/// A task's name becomes a folder's; its numbers count experts.
Task task_of(const Json& t) {
  const auto number = [&t](const char* key) { return count(t, key); };
  Task task{t.at("name"),          t.at("arm"), number("experts"), number("top_k"),
            number("granularity"), seed_of(t),  t.at("overrides")};
  constexpr std::int64_t max = std::numeric_limits<std::int64_t>::max();
  task.is_trunk = t.contains("is_trunk") && t.at("is_trunk").template get<bool>();
  if (t.contains("from")) task.steps = whole(t, "steps", 1, max), task.from = whole(t, "from", 1, max);
  if (!files::is_plain_name(task.name) || task.name != name_of(task))
    throw BadMember("it has the task " + shown(t.at("name")) + ", whose numbers give another name");
  return task;
}

}  // namespace

Sweep parse_sweep(const std::string& text, const std::string& name) {
  return parse_json<Json>(text, name, "; make the sweep's folder anew", [&](const Json& json) {
    check(json.at("schema") == schema && json.at("schema_version") == version, Exit::usage,
          name + " is of another kind or version (this program knows " + schema + " " + std::to_string(version) +
              "); use the program that made it");
    Sweep sweep{json.at("name"), json.at("configuration"), count(json, "ranks")};
    std::set<std::string> names;
    for (const Json& t : json.at("tasks")) {
      sweep.tasks.push_back(task_of(t));
      if (!names.insert(sweep.tasks.back().name).second)
        throw BadMember("it has the task " + sweep.tasks.back().name + " twice");
    }
    if (sweep.tasks.empty()) throw BadMember("it has no tasks");
    for (const Task& task : sweep.tasks)
      if (task.from > 0 && !trunk_of(sweep, task))
        throw BadMember("it has the branch " + shown(Json(task.name)) + " without its trunk");
    return sweep;
  });
}

Config config_of(const Sweep& sweep, const Task& task) {
  LoadResult loaded = load_text(sweep.name, sweep.configuration, task.overrides);
  add_violations(loaded, sweep.ranks);
  throw_errors(loaded);
  return loaded.config;
}

void keep_sweep(const std::string& folder, const Sweep& sweep) {
  const std::string text = text_of(sweep), file = file_of(folder);
  const auto stands = [&] {
    if (!fs::exists(file)) return false;
    check(files::read_text(file) == text, Exit::usage,
          folder + " holds another sweep (its tasks or their configuration differ); give another folder");
    return true;
  };
  if (stands()) return;
  files::make_folders(folder);
  const FileLock lock = FileLock::passing(file + ".lock", folder);  // two that make it at once
  if (stands()) return;
  const std::string first = files::first_entry(folder, {"sweep.json.lock"}, {"tasks"});
  check(first.empty(), Exit::usage, folder + " is not empty (it has " + first + "); give --out a new folder");
  files::make_folders(folder + "/tasks");
  files::write_text(file, text);
}

Sweep kept_sweep(const std::string& folder) {
  check(fs::exists(file_of(folder)), Exit::usage,
        folder + ": no sweep there (it has no sweep.json); give the folder that switchyard sweep submit or run made");
  files::require_inside(folder, folder + "/tasks");
  return parse_sweep(files::read_text(file_of(folder)), file_of(folder));
}

std::string run_folder(const std::string& folder, const Task& task) { return folder + "/tasks/" + task.name; }

}  // namespace switchyard::sweep
