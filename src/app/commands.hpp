// The commands of the program. Adding one: a file here with its add_… function, and its name in parse_command_line.
#pragma once
#include <CLI/CLI.hpp>
#include <algorithm>
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

/// One of some names.
inline CLI::Validator one_of(const std::vector<std::string>& names) {
  const auto complaint = [names](const std::string& text) {
    const bool known = std::find(names.begin(), names.end(), text) != names.end();
    return known ? std::string() : text + " is not known; take one of " + join(names);
  };
  return CLI::Validator(complaint, join(names));
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

/// Each declares a command, or a group of them, and stands in the file of its name.
void add_train(CLI::App& app, Command& command);  ///< and resume
void add_generate(CLI::App& app, Command& command);
void add_bench(CLI::App& app, Command& command);  ///< bench step and others, and the next two
void add_bench_layer(CLI::App& group, Command& command);
void add_bench_memory(CLI::App& group, Command& command);
void add_check(CLI::App& app, Command& command);
void add_plan(CLI::App& app, Command& command);
void add_show(CLI::App& app, Command& command);
void add_verify(CLI::App& app, Command& command);
void add_schema(CLI::App& app, Command& command);
void add_data(CLI::App& app, Command& command);  ///< data build, data check, and the next two
void add_data_generate(CLI::App& group, Command& command);
void add_laboratory(CLI::App& group, Command& command);
void add_sweep(CLI::App& app, Command& command);
void add_selfcheck(CLI::App& app, Command& command);
void add_guard(CLI::App& app, Command& command);  ///< not for users

/// What parsing ended with: a command, or a text to print and an exit code.
struct Parsed {
  Command command;
  std::string text;
  Exit code = Exit::ok;
};

/// Reads the command line; touches nothing.
Parsed parse_command_line(int argc, char** argv);

}  // namespace switchyard
