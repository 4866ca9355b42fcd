// The commands of the program. Adding one: a function that declares it in a commands_*.cpp, called by
// the add_… function there.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "config/values.hpp"

namespace switchyard {

/// Which ranks do the work of a command when several were started.
enum class Ranks { all, root };

/// A number from `low` to `high`, written as in a configuration. What passes is read alike by CLI11's own reader, which
/// alone would take octal, hexadecimal, NaN and numbers beyond their type.
template <class T>
CLI::Validator number_in(T low, T high) {
  const std::string range = "in [" + format_value(low) + ", " + format_value(high) + "]";
  const auto complaint = [=](const std::string& text) {
    T value{};
    const std::string wrong = parse_value(text, value);
    const bool beyond = wrong.find(" is out of range") != std::string::npos;  // of the type, which is nobody's matter
    if (wrong.empty() ? value < low || value > high : beyond) return text + " is out of range; must be " + range;
    return wrong;
  };
  return CLI::Validator(complaint, range);
}

/// Every seed.
inline CLI::Validator any_seed() { return number_in(std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max()); }

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
