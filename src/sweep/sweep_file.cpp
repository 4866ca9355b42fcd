// The sweep file: YAML to tasks.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "base/check.hpp"
#include "base/checked.hpp"
#include "config/options.hpp"
#include "config/placement_file.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"
#include "config/yaml_tree.hpp"
#include "sweep/paths.hpp"
#include "sweep/sweep.hpp"

namespace switchyard::sweep {
namespace {

namespace fs = std::filesystem;
using Kind = YamlNode::Kind;

constexpr std::int64_t max_tasks = 4096;  ///< each is checked before the first begins

/// The key of section.key=value; all of a number.
std::string key_of(const std::string& value) { return value.substr(0, value.find('=')); }

struct KeyHelp {
  const char *name, *value, *help;
};
constexpr KeyHelp keys[] = {
    {"configuration", "text", "configuration file of every task, relative to this file; required"},
    {"set", "list of section.key=value", "put over the configuration, for every task; the command line is put over it"},
    {"experts", "list of integers", "numbers of experts; required"},
    {"top_k", "list of integers", "choices of a token; the configuration's by default"},
    {"granularity", "list of integers",
     "experts are cut into that many, and as many times more chosen; [1] by default"},
    {"seeds", "list of integers", "each sets train.seed and data.seed; [1] by default"},
    {"arms", "name: list of section.key=value",
     "what is compared at each point, put over set; at most 16 letters a name"},
    {"ranks", "integer", "MPI ranks of every task; 1 by default"},
};

/// What a sweep file says.
struct Axes {
  std::string configuration;
  std::vector<std::string> set;
  std::vector<int> experts, top_k, granularity{1};
  std::vector<std::uint64_t> seeds{1};
  std::vector<std::pair<std::string, std::vector<std::string>>> arms;
  int ranks = 1;
};

/// Collects values and complaints with their places.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  Axes read(const std::string& text) {
    const YamlTree tree = parse_yaml(text);
    for (const YamlError& e : tree.errors) complain(e.place, e.message);
    if (tree.root.kind != Kind::map) {
      if (tree.errors.empty()) complain(tree.root.place, "a sweep is made of keys: " + names());
    } else {
      for (std::size_t i = 0; i + 1 < tree.root.items.size(); i += 2) entry(tree.root.items[i], tree.root.items[i + 1]);
      for (const char* name : {"configuration", "experts"})
        if (!seen_.contains(name)) complain({}, std::string(name) + ": is missing");
    }
    return axes_;
  }
  const std::vector<std::string>& errors() const { return errors_; }

 private:
  static std::string names() {
    std::vector<std::string> all;
    for (const KeyHelp& key : keys) all.emplace_back(key.name);
    return join(all);
  }

  void complain(const TextPlace& at, const std::string& message) {
    const std::string place = at.line > 0 ? ":" + std::to_string(at.line) + ":" + std::to_string(at.column) : "";
    errors_.push_back(file_ + place + ": " + message);
  }

  void entry(const YamlNode& name, const YamlNode& value) {
    if (!seen_.insert(name.text).second) return complain(name.place, name.text + ": duplicate key");
    if (name.text == "configuration") return void(one(name, value, axes_.configuration));
    if (name.text == "ranks") return void(one(name, value, axes_.ranks));
    if (name.text == "experts") return list(name, value, axes_.experts);
    if (name.text == "top_k") return list(name, value, axes_.top_k);
    if (name.text == "granularity") return list(name, value, axes_.granularity);
    if (name.text == "seeds") return list(name, value, axes_.seeds);
    if (name.text == "set") return list(name, value, axes_.set);
    if (name.text == "arms") return arms(name, value);
    std::string meant;
    for (const KeyHelp& key : keys)
      if (edit_distance(name.text, key.name) < 3) meant = key.name;
    complain(name.place, name.text + ": unknown key (" +
                             (meant.empty() ? "known are " + names() : "did you mean " + meant + "?") + ")");
  }

  /// Returns whether `into` is what was meant.
  template <class T>
  bool one(const YamlNode& name, const YamlNode& value, T& into) {
    const std::string wrong = value.kind == Kind::scalar ? parse_value(value.text, into) : "must be " + kind_name<T>();
    if (!wrong.empty()) {
      complain(value.place, name.text + ": " + wrong);
      return false;
    }
    if constexpr (std::is_same_v<T, int>)
      if (into < 1) {
        complain(value.place, name.text + ": is " + value.text + "; must be at least 1");
        return false;
      }
    return true;
  }

  template <class T>
  void list(const YamlNode& name, const YamlNode& value, std::vector<T>& into) {
    if (value.kind != Kind::list || value.items.empty())
      return complain(value.kind == Kind::null ? name.place : value.place, name.text + ": must be a list, not empty");
    into.clear();
    if (static_cast<std::int64_t>(value.items.size()) > max_tasks)
      return complain(value.place, name.text + ": has more than " + std::to_string(max_tasks) +
                                       " entries, as many as a sweep has tasks at most; shorten the list");
    std::set<std::string> given;  // an entry of a list says again, or otherwise, what the first of its key says
    for (const YamlNode& item : value.items) {
      T read{};
      if (!one(name, item, read)) continue;
      if (!given.insert(key_of(item.text)).second)
        complain(item.place, name.text + ": has " + key_of(item.text) + " twice");
      into.push_back(read);
    }
  }

  void arms(const YamlNode& name, const YamlNode& value) {
    if (value.kind != Kind::map) return complain(name.place, "arms: must be names with lists of section.key=value");
    std::set<std::string> given;
    for (std::size_t i = 0; i + 1 < value.items.size(); i += 2) {
      const YamlNode& arm = value.items[i];
      if (!given.insert(arm.text).second) complain(arm.place, "arms: " + arm.text + ": duplicate key");
      std::vector<std::string> overrides;
      const bool empty = value.items[i + 1].kind == Kind::null ||
                         (value.items[i + 1].kind == Kind::list && value.items[i + 1].items.empty());
      if (!empty) list(arm, value.items[i + 1], overrides);
      const std::string clean = arm.text.substr(0, clean_utf8_length(arm.text));  // it becomes a folder's name
      if (arm.text.empty() || arm.text.size() > 16 || clean.find_first_of("/ ") != clean.npos || clean != arm.text)
        complain(arm.place,
                 "arms: \"" + clean + "\" must be 1 to 16 bytes without blanks, control characters and slashes");
      axes_.arms.emplace_back(arm.text, overrides);
    }
  }

  std::string file_;
  Axes axes_;
  std::set<std::string> seen_;
  std::vector<std::string> errors_;
};

/// Adds section.key=value; a later value of a key takes the place of an earlier one.
void put_over(std::vector<std::string>& values, const std::vector<std::string>& more) {
  for (const std::string& one : more) {
    std::erase_if(values, [&](const std::string& o) { return key_of(o) == key_of(one); });
    values.push_back(one);
  }
}

/// The first key among the values that the axes of a sweep set; empty where there is none.
std::string taken_key(const std::vector<std::string>& values) {
  static const std::set<std::string> taken{"moe.experts", "moe.top_k", "moe.hidden", "train.seed", "data.seed"};
  for (const std::string& one : values)
    if (taken.contains(key_of(one))) return key_of(one);
  return "";
}

/// Fills in name and overrides; returns what is wrong, "" where nothing is.
std::string complete(Task& task, const Config& base, const std::vector<std::string>& arm) {
  task.name = name_of(task);
  const std::int64_t work = std::int64_t{base.moe.hidden} * base.moe.top_k;
  const std::int64_t chosen = std::int64_t{task.top_k} * task.granularity;
  if (work % chosen != 0)
    return task.name + ": moe.hidden * moe.top_k = " + std::to_string(work) +
           " of the configuration is not divisible by " + std::to_string(chosen) +
           " choices, so no width gives equal work";
  put_over(task.overrides, arm);
  make_absolute(task.overrides);
  if (const std::string key = taken_key(task.overrides); !key.empty())
    return task.name + ": " + key + " follows from experts, top_k, granularity and seeds; leave it out of set and arms";
  const auto put = [&task](const std::string& key, auto value) {
    task.overrides.push_back(key + "=" + std::to_string(value));
  };
  put("moe.experts", std::int64_t{task.experts} * task.granularity);
  put("moe.top_k", chosen);
  put("moe.hidden", work / chosen);
  put("train.seed", task.seed);
  put("data.seed", task.seed);
  // The dense model: its one expert has weight 1, whatever a lone router would say.
  if (task.experts == 1 && task.granularity == 1) put_over(task.overrides, {"moe.normalise=after"});
  return "";
}

/// Every combination, in the order in which they run.
std::vector<Task> combine(Axes axes) {
  std::sort(axes.experts.begin(), axes.experts.end());
  if (axes.arms.empty()) axes.arms.emplace_back();
  std::vector<Task> tasks;
  for (const std::uint64_t seed : axes.seeds)
    for (const std::size_t e : halving_order(axes.experts.size()))
      for (const int k : axes.top_k)
        for (const int g : axes.granularity)
          for (const auto& [arm, overrides] : axes.arms)
            if (k <= axes.experts[e])
              tasks.push_back({.arm = arm, .experts = axes.experts[e], .top_k = k, .granularity = g, .seed = seed});
  return tasks;
}

/// Adds what a task's configuration lacks, with the name of the first task that lacks it.
void check_task(const Sweep& sweep, const Task& task, std::set<std::string>& known, std::vector<std::string>& errors) {
  LoadResult loaded = load_text(sweep.name, sweep.configuration, task.overrides);
  add_violations(loaded, sweep.ranks);
  add_placement(loaded);
  for (const ConfigError& e : loaded.errors)
    if (known.insert(e.text()).second) errors.push_back(task.name + ": " + e.text());
}

}  // namespace

std::string name_of(const Task& t) {
  std::ostringstream name;
  name << "E" << t.experts << "-k" << t.top_k << "-g" << t.granularity << "-seed" << t.seed;
  if (!t.arm.empty()) name << "-" << t.arm;
  return name.str();
}

std::vector<std::size_t> halving_order(std::size_t count) {
  std::vector<std::size_t> order;
  if (count > 0) order.push_back(0);
  if (count > 1) order.push_back(count - 1);
  std::vector<std::pair<std::size_t, std::size_t>> parts{{0, count ? count - 1 : 0}};
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const auto [low, high] = parts[p];
    if (high - low < 2) continue;
    const std::size_t middle = (low + high) / 2;
    order.push_back(middle);
    parts.emplace_back(low, middle), parts.emplace_back(middle, high);
  }
  return order;
}

Sweep read_sweep(const std::string& file, const std::vector<std::string>& overrides) {
  Reader reader(file);
  Axes axes = reader.read(read_text(file));
  std::vector<std::string> errors = reader.errors();
  if (!errors.empty()) throw Error(Exit::usage, join(errors, "\n"));
  Sweep sweep;
  sweep.name = (fs::path(file).parent_path() / axes.configuration).lexically_normal().string();
  sweep.configuration = read_text(sweep.name), sweep.ranks = axes.ranks;
  put_over(axes.set, overrides);
  const LoadResult base = load_text(sweep.name, sweep.configuration, axes.set);
  throw_errors(base);
  put_over(axes.set, {"data.path=" + base.config.data.path});  // complete() makes paths absolute
  if (names_placement(base.config)) put_over(axes.set, {"layout.placement=" + base.config.layout.placement});
  if (!base.config.layout.machine.empty()) put_over(axes.set, {"layout.machine=" + base.config.layout.machine});
  if (axes.top_k.empty()) axes.top_k = {base.config.moe.top_k};
  const std::map<std::string, std::vector<std::string>> arms(axes.arms.begin(), axes.arms.end());
  const Checked tasks = Checked(std::ssize(axes.experts)) * std::ssize(axes.top_k) * std::ssize(axes.granularity) *
                        std::ssize(axes.seeds) * std::max<std::int64_t>(1, std::ssize(axes.arms));
  check(tasks <= Checked(max_tasks), Exit::usage,
        file + ": is " + to_string(tasks) + " combinations (at most " + std::to_string(max_tasks) +
            " tasks are a sweep); shorten a list, or make several files");
  sweep.tasks = combine(axes);
  std::set<std::string> known;
  for (Task& task : sweep.tasks) {
    task.overrides = axes.set;
    const auto arm = arms.find(task.arm);
    const std::string wrong = complete(task, base.config, arm == arms.end() ? std::vector<std::string>{} : arm->second);
    wrong.empty() ? check_task(sweep, task, known, errors) : errors.push_back(file + ": " + wrong);
  }
  for (const int k : axes.top_k)
    for (const int e : axes.experts)
      if (k > e)
        sweep.notes.push_back(file + ": top_k " + std::to_string(k) + " with experts " + std::to_string(e) +
                              " is left out: a token cannot choose more experts than there are");
  if (sweep.tasks.empty()) errors.push_back(file + ": top_k: is larger than experts everywhere, so there is no task");
  if (!errors.empty()) throw Error(Exit::usage, join(errors, "\n"));
  return sweep;
}

std::string sweep_markdown() {
  std::ostringstream out;
  out << "\n## Sweep files\n\nWhat `switchyard sweep run` and `submit` read; the tasks are all combinations.\n\n"
         "| key | value | meaning |\n|---|---|---|\n";
  for (const KeyHelp& key : keys) out << "| " << key.name << " | " << key.value << " | " << key.help << " |\n";
  return out.str();
}

}  // namespace switchyard::sweep
