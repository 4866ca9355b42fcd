// The commands of the program. Adding one: a function that declares it in a commands_*.cpp, called by
// the add_… function there.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/check.hpp"

namespace switchyard {

/// Which ranks do the work of a command when several were started.
enum class Ranks { all, root };

/// A number from `low` to `high`; CLI::Range lets NaN pass.
inline CLI::Validator number_in(double low, double high) {
  const std::string range = CLI::Range(low, high).get_description();
  const auto complaint = [=](const std::string& text) {
    double value = 0.0;
    const bool inside = CLI::detail::lexical_cast(text, value) && value >= low && value <= high;
    return inside ? std::string() : text + " is no " + range;
  };
  return CLI::Validator(complaint, range);
}

/// What the command line asks for.
struct Command {
  Ranks ranks = Ranks::root;
  std::function<Exit()>
      run;  ///< null until a command has been chosen; with Ranks::all MPI is initialised, Kokkos is not
  std::vector<std::string> command_line;
  bool stops_in_order = false;  ///< signals wait until it listens to them (base/signals.hpp)
};

void add_run_commands(CLI::App& app, Command& command);     ///< train, resume, generate, bench
void add_config_commands(CLI::App& app, Command& command);  ///< check, show
void add_record_commands(CLI::App& app, Command& command);  ///< verify, schema
void add_sweep_commands(CLI::App& app, Command& command);   ///< sweep submit, run, status
void add_data_commands(CLI::App& app, Command& command);    ///< data build, check, generate, laboratory

/// What parsing ended with: a command, or a text to print and an exit code.
struct Parsed {
  Command command;
  std::string text;
  Exit code = Exit::ok;
};

/// Reads the command line; touches nothing.
Parsed parse_command_line(int argc, char** argv);

}  // namespace switchyard
