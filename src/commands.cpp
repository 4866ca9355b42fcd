#include "commands.hpp"

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

/// CLI11 says of a misspelled command only that one is required. "" where the words name a command, or options begin.
std::string unknown_command(const CLI::App& app, const std::string& path, const std::vector<std::string>& words) {
  if (words.empty() || words[0].starts_with('-') || app.get_subcommands(nullptr).empty()) return "";
  if (const CLI::App* sub = command_named(app, words[0]))
    return unknown_command(*sub, path + " " + words[0], {words.begin() + 1, words.end()});
  std::string best;
  int best_edits = 3;
  for (const CLI::App* sub : app.get_subcommands(nullptr))
    if (const int edits = edit_distance(words[0], sub->get_name()); edits < best_edits) {
      best_edits = edits;
      best = sub->get_name();
    }
  return "switchyard: unknown command " + words[0] + (best.empty() ? "" : " (did you mean " + best + "?)") + "; see " +
         path + " --help";
}

}  // namespace

Parsed parse_command_line(int argc, char** argv) {
  Parsed parsed;
  parsed.command.command_line.assign(argv, argv + argc);
  CLI::App app{"Trains mixture-of-experts language models with MPI and records every routing decision.", "switchyard"};
  app.set_version_flag("--version", [] { return record::version_text(); });
  app.require_subcommand(1);
  // The declared options write into variables that the chosen command shares, so they outlive `app`.
  add_run_commands(app, parsed.command);
  add_config_commands(app, parsed.command);
  add_record_commands(app, parsed.command);
  add_data_commands(app, parsed.command);
  add_sweep_commands(app, parsed.command);
  parsed.text = unknown_command(app, "switchyard", {argv + std::min(argc, 1), argv + argc});
  if (!parsed.text.empty()) {
    parsed.code = Exit::usage;
    return parsed;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    parsed.code = app.exit(e, out, err) == 0 ? Exit::ok : Exit::usage;
    parsed.text = out.str() + err.str();
    while (parsed.text.ends_with('\n')) parsed.text.pop_back();
    if (parsed.code != Exit::ok) parsed.text = "switchyard: " + parsed.text;
  }
  return parsed;
}

}  // namespace switchyard
