// A sweep: one configuration trained with several numbers of experts, choices, granularities, arms and seeds at equal
// active work. The sweep file is YAML, its folder keeps what it became.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard::sweep {

/// One training of a sweep.
struct Task {
  std::string name{};  ///< of its run folder and in the table: "E64-k1-g1-seed1", with "-<arm>" where there are arms,
                       ///< "-trunk" or "-s2000" where there are branches
  std::string arm{};   ///< "" where there are none
  int experts = 1, top_k = 1, granularity = 1;  ///< before the granularity multiplies the first two
  std::uint64_t seed = 1;
  std::vector<std::string> overrides{};  ///< of the configuration, all of them: "moe.experts=64"
  bool is_trunk = false;                 ///< at a constant rate, for branches
  std::int64_t steps = 0, from = 0;      ///< of a branch: at its end, and where it leaves its trunk; 0 of any other
  /// "trunk", or of a branch "s2000"; "" where the sweep has none.
  std::string branch() const;
};

/// The name that a task has from its numbers and its arm.
std::string name_of(const Task& task);

struct Sweep {
  std::string name;                  ///< of the configuration file, for messages
  std::string configuration;         ///< its text
  int ranks = 1;                     ///< MPI ranks of every task
  std::vector<Task> tasks{};         ///< in the order in which they run
  std::vector<std::string> notes{};  ///< what was left out; not kept in the folder
};

/// Reads a sweep file (keys: `sweep_markdown`) and the configuration that it names, relative to it. With seed s, E
/// experts, k choices and granularity g a task trains E·g experts of hidden width h·k₀/(k·g), k·g of them a token,
/// where h and k₀ are the configuration's: every task does the same work a token. Pairs with k > E are left out, which
/// `notes` tell. Seeds are outermost, then experts by `halving_order`, so that a part of the tasks is a curve already.
/// Throws Error{usage} with every complaint, of the sweep file (file:line:col) and of any task's configuration.
Sweep read_sweep(const std::string& file, const std::vector<std::string>& overrides);

/// Smallest, largest, then the middle of ever smaller parts: of 5 values 0, 4, 2, 1, 3.
std::vector<std::size_t> halving_order(std::size_t count);

/// The valid configuration of a task.
Config config_of(const Sweep& sweep, const Task& task);

/// FOLDER/sweep.json. Makes the folder, or finds the same sweep there; throws Error{usage} where it holds another one,
/// Error{busy} where another job makes it now.
void keep_sweep(const std::string& folder, const Sweep& sweep);
/// Reads it back; throws Error{usage} where there is none.
Sweep kept_sweep(const std::string& folder);
/// The same from the text of FOLDER/sweep.json, `name` for messages.
Sweep parse_sweep(const std::string& text, const std::string& name);

/// FOLDER/tasks/NAME
std::string run_folder(const std::string& folder, const Task& task);

/// The keys of a sweep file, in Markdown.
std::string sweep_markdown();

}  // namespace switchyard::sweep
