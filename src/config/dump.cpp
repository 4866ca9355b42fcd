// Writing options: with comments for people, bare for hashing and comparing, as the reference of the documentation.
#include <algorithm>
#include <sstream>

#include "config/options.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

constexpr std::size_t comment_column = 36;

/// "# help [unit]; one of a, b (origin)".
std::string comment(const char* unit, const char* help, const std::vector<std::string>& names,
                    const std::string& origin) {
  std::string text = std::string("# ") + help;
  if (*unit) text += std::string(" [") + unit + "]";
  if (names.size() > 1) text += "; one of " + join(names);
  return origin.empty() ? text : text + " (" + origin + ")";
}

}  // namespace

std::string to_string(const Origin& origin) {
  if (origin.kind == Origin::Kind::unset) return "default";
  if (origin.kind == Origin::Kind::preset) return "preset " + origin.file;
  if (origin.kind == Origin::Kind::command_line) return "command line";
  return origin.line > 0 ? origin.file + ":" + std::to_string(origin.line) : origin.file;
}

std::string ConfigError::text() const {
  std::string place = to_string(origin);
  if (origin.kind == Origin::Kind::file && origin.line > 0) place += ":" + std::to_string(origin.column);
  return place + ": " + (key.empty() ? "" : key + ": ") + message;
}

std::string dump(const Config& config, const Origins& origins) {
  std::string text;
  visit_options(config, [&](const std::string& key, const auto& member, const char* unit, const char* help) {
    using Member = std::remove_cvref_t<decltype(member)>;
    std::string line;
    if constexpr (Described<Member>) {
      text += text.empty() ? "" : "\n";
      line = key + ":";
      line.resize(std::max(line.size() + 1, comment_column), ' ');
      line += comment(unit, help, {}, "");
    } else {
      line = "  " + key.substr(key.find('.') + 1) + ": " + format_value(member);
      line.resize(std::max(line.size() + 1, comment_column), ' ');
      const auto it = origins.find(key);
      line += comment(unit, help, allowed_names<Member>(), to_string(it == origins.end() ? Origin{} : it->second));
    }
    text += line + "\n";
  });
  return text;
}

std::string invariant_options(const Config& config) {
  std::string text;
  visit_values(config, [&](const std::string& key, const auto& member) {
    if (!may_change_on_resume(key)) text += key + ": " + format_value(member) + "\n";
  });
  return text;
}

std::string config_markdown() {
  std::string text = "# Configuration reference\n\nPrinted by `switchyard show --reference`.\n";
  const Config defaults;
  visit_options(defaults, [&](const std::string& key, const auto& member, const char* unit, const char* help) {
    using Member = std::remove_cvref_t<decltype(member)>;
    if constexpr (Described<Member>) {
      text +=
          "\n## `" + key + "`: " + help + "\n\n| option | default | unit | value | meaning |\n|---|---|---|---|---|\n";
    } else {
      text += "| `" + key + "` | `" + format_value(member) + "` | " + unit + " | " + kind_name<Member>() + " | " +
              help + " |\n";
    }
  });
  return text;
}

bool may_change_on_resume(const std::string& key) {
  return key.starts_with("layout.") || key.starts_with("record.") || key == "train.steps" || key == "train.max_time" ||
         key == "train.graph" || key == "train.keep_steps";
}

std::vector<OptionChange> option_changes(const std::string& before, const Config& after) {
  std::map<std::string, std::string> old_values;
  const Config defaults;
  visit_values(defaults, [&](const std::string& key, const auto& member) { old_values[key] = format_value(member); });
  std::istringstream lines(before);
  for (std::string line; std::getline(lines, line);)
    if (const auto colon = line.find(": "); colon != line.npos)
      old_values[line.substr(0, colon)] = line.substr(colon + 2);
  std::vector<OptionChange> changes;
  visit_values(after, [&](const std::string& key, const auto& member) {
    const std::string now = format_value(member), &was = old_values[key];
    if (now != was) changes.push_back({key, was, now});
  });
  return changes;
}

std::vector<Violation> resume_changes(const std::string& before, const Config& after) {
  std::vector<Violation> violations;  // an option that the run did not know yet had its default
  for (const auto& [key, was, now] : option_changes(before, after))
    if (!may_change_on_resume(key))
      violations.push_back({key, "is " + was + " in the run and cannot become " + now +
                                     " (the run would no longer be one experiment; train.steps, train.max_time, "
                                     "train.graph, train.keep_steps, "
                                     "layout.* and record.* may change); start a new run for it, or one from this one "
                                     "with switchyard train --from"});
  return violations;
}

}  // namespace switchyard
