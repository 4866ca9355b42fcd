#include "app/commands.hpp"

#include <algorithm>
#include <sstream>

#include "config/options.hpp"
#include "record/provenance.hpp"

namespace switchyard {
namespace {

/// The command of that name below `app`; null where there is none.
const CLI::App* command_named(const CLI::App& app, const std::string& word) {
  for (const CLI::App* sub : app.get_subcommands(nullptr))
    if (sub->get_name() == word) return sub;
  return nullptr;
}

/// " (did you mean NAME?)" where one of the names is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  std::string best;
  int best_edits = 3;
  for (const std::string& name : names)
    if (const int edits = edit_distance(word, name); edits < best_edits) {
      best_edits = edits;
      best = name;
    }
  return best.empty() ? "" : " (did you mean " + best + "?)";
}

/// CLI11 says of a misspelled command only that one is required. "" where the words name a command, or options begin.
std::string unknown_command(const CLI::App& app, const std::string& path, const std::vector<std::string>& words) {
  if (words.empty() || words[0].starts_with('-') || app.get_subcommands(nullptr).empty()) return "";
  if (const CLI::App* sub = command_named(app, words[0]))
    return unknown_command(*sub, path + " " + words[0], {words.begin() + 1, words.end()});
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands(nullptr))
    if (!sub->get_group().empty()) names.push_back(sub->get_name());
  return "switchyard: unknown command " + words[0] + did_you_mean(words[0], names) + "; see " + path + " --help";
}

/// The command that was chosen, through its groups.
const CLI::App& chosen(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : chosen(*parsed.front());
}

/// What to write in place of options that a command does not have.
std::string suggest_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : chosen(app).get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  std::string text;
  for (const std::string& word : app.remaining(true))
    if (word.starts_with("--")) text += did_you_mean(word.substr(0, word.find('=')), names);
  return text;
}

/// An empty text would be taken for an option that was not given. "" where there is none.
std::string empty_option(const CLI::App& app) {
  for (const CLI::Option* option : chosen(app).get_options())
    for (const std::string& text : option->results())
      if (text.find_first_not_of(" \t\n") == std::string::npos)
        return "switchyard: " + option->get_name() + " is empty; give a text" +
               (option->get_required() ? "" : ", or leave it out");
  return "";
}

}  // namespace

Parsed parse_command_line(int argc, char** argv) {
  Parsed parsed;
  parsed.command.command_line.assign(argv, argv + argc);
  CLI::App app{"Trains mixture-of-experts language models with MPI and records every routing decision.", "switchyard"};
  app.set_version_flag("--version", [] { return record::version_text(); });
  app.require_subcommand(1);
  // The declared options write into variables that the chosen command shares, so they outlive `app`.
  for (const auto add : {add_train, add_generate, add_bench, add_check, add_plan, add_show, add_verify, add_schema,
                         add_data, add_sweep, add_selfcheck, add_guard})
    add(app, parsed.command);
  parsed.text = unknown_command(app, "switchyard", {argv + std::min(argc, 1), argv + argc});
  if (!parsed.text.empty()) {
    parsed.code = Exit::usage;
    return parsed;
  }
  try {
    app.parse(argc, argv);
    parsed.text = empty_option(app);
    if (!parsed.text.empty()) parsed.code = Exit::usage;
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    parsed.code = app.exit(e, out, err) == 0 ? Exit::ok : Exit::usage;
    parsed.text = out.str() + err.str();
    while (parsed.text.ends_with('\n')) parsed.text.pop_back();
    if (dynamic_cast<const CLI::ExtrasError*>(&e)) parsed.text += suggest_options(app);
    if (parsed.code != Exit::ok) parsed.text = "switchyard: " + parsed.text;
  }
  return parsed;
}

}  // namespace switchyard
