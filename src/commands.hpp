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

/// The parts of "1,2,4", empty ones too.
inline std::vector<std::string> list_parts(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) c == ',' ? void(parts.emplace_back()) : parts.back().push_back(c);
  return parts;
}

/// A list "1,2,4" of what `each` lets pass.
inline CLI::Validator list_of(const CLI::Validator& each) {
  const auto complaint = [each](const std::string& text) {
    for (const std::string& part : list_parts(text))
      if (const std::string wrong = each(part); !wrong.empty()) return wrong;
    return std::string();
  };
  return CLI::Validator(complaint, each.get_description());
}

/// Every seed.
inline CLI::Validator any_seed() { return number_in(std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max()); }

/// Refuses, while the command line is read, those of `options` that were given where `with` leaves them without effect.
inline void refuse_given(const CLI::App& command, const std::vector<std::string>& options, const std::string& with) {
  for (const std::string& option : options)
    if (command.count(option) > 0) throw CLI::ValidationError(option, "has no effect with " + with + "; leave it out");
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
