#include "commands.hpp"

#include <sstream>

#include "config/options.hpp"
#include "record/provenance.hpp"

namespace switchyard {
namespace {

/// CLI11 says of a misspelled command only that one is required.
std::string unknown_command(const CLI::App& app, const std::string& word) {
  std::string text = "unknown command " + word, best;
  int best_edits = 3;
  for (const CLI::App* sub : app.get_subcommands(nullptr))
    if (const int edits = edit_distance(word, sub->get_name()); edits < best_edits) {
      best_edits = edits;
      best = sub->get_name();
    }
  return "switchyard: " + text + (best.empty() ? "" : " (did you mean " + best + "?)") + "; see switchyard --help";
}

bool is_command(const CLI::App& app, const std::string& word) {
  for (const CLI::App* sub : app.get_subcommands(nullptr))
    if (sub->get_name() == word) return true;
  return false;
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
  if (argc > 1 && argv[1][0] != '-' && !is_command(app, argv[1])) {
    parsed.text = unknown_command(app, argv[1]);
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
