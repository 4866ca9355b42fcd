#include "sweep/sweep_reader.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include "config/options.hpp"
#include "config/values.hpp"
#include "config/yaml_tree.hpp"
#include "sweep/sweep.hpp"

namespace switchyard::sweep {
namespace {

using Kind = YamlNode::Kind;

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
    {"branches", "steps or tokens, decay_share",
     "each combination becomes a trunk at a constant rate and, for each of these lengths, a run that leaves it in time "
     "to "
     "decay in its last decay_share (0.2 by default): {tokens: [1000000, 2000000], decay_share: 0.2}"},
    {"rate_exponent", "number",
     "x: train.learning_rate and train.min_learning_rate of a task with E experts are multiplied by E^x; 0 by default"},
    {"ranks", "integer", "MPI ranks of every task; 1 by default"},
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
    if (name.text == "branches") return branches(name, value);
    if (name.text == "rate_exponent") return rate_exponent(name, value);
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
    if constexpr (std::is_same_v<T, int> || std::is_same_v<T, std::int64_t>)
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

  void rate_exponent(const YamlNode& name, const YamlNode& value) {
    if (one(name, value, axes_.rate_exponent) && std::abs(axes_.rate_exponent) > 4.0)
      complain(value.place, "rate_exponent: is " + value.text + "; must be in [-4, 4]");
  }

  void branches(const YamlNode& name, const YamlNode& value) {
    Branches& into = axes_.branches;
    if (value.kind != Kind::map)
      return complain(name.place, "branches: must be {steps: [...]} or {tokens: [...]}, perhaps with decay_share");
    std::set<std::string> given;
    for (std::size_t i = 0; i + 1 < value.items.size(); i += 2) {
      const YamlNode &key = value.items[i], &of = value.items[i + 1];
      if (!given.insert(key.text).second) complain(key.place, "branches: " + key.text + ": duplicate key");
      if (key.text == "steps" || key.text == "tokens")
        ascending(key, of, key.text == "steps" ? into.steps : into.tokens);
      else if (key.text == "decay_share")
        decay_share(key, of);
      else
        complain(key.place, "branches: " + key.text + ": unknown key (known are steps, tokens, decay_share)");
    }
    if (given.contains("steps") == given.contains("tokens"))
      complain(name.place, "branches: must have either steps or tokens, the lengths of the branches");
  }

  void ascending(const YamlNode& key, const YamlNode& value, std::vector<std::int64_t>& into) {
    list(key, value, into);
    if (!std::is_sorted(into.begin(), into.end())) complain(value.place, "branches: " + key.text + ": must ascend");
  }

  void decay_share(const YamlNode& key, const YamlNode& value) {
    double& share = axes_.branches.decay_share;
    if (one(key, value, share) && !(share > 0.0 && share < 1.0))
      complain(value.place, "branches: decay_share: is " + value.text + "; must be above 0 and below 1");
  }

  std::string file_;
  Axes axes_;
  std::set<std::string> seen_;
  std::vector<std::string> errors_;
};

}  // namespace

Axes read_axes(const std::string& file, const std::string& text, std::vector<std::string>& errors) {
  Reader reader(file);
  const Axes axes = reader.read(text);
  errors.insert(errors.end(), reader.errors().begin(), reader.errors().end());
  return axes;
}

std::string sweep_markdown() {
  std::ostringstream out;
  out << "\n## Sweep files\n\nWhat `switchyard sweep run` and `submit` read; the tasks are all combinations.\n\n"
         "| key | value | meaning |\n|---|---|---|\n";
  for (const KeyHelp& key : keys) out << "| " << key.name << " | " << key.value << " | " << key.help << " |\n";
  return out.str();
}

}  // namespace switchyard::sweep
