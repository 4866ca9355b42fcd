// From a configuration to the list of tasks of a step; the orders of layout.schedule are one file each in this folder.
// Pure functions, so that a list can be read, tested and priced without a machine. Free of Kokkos and MPI.
#pragma once
#include <vector>

#include "config/config.hpp"
#include "schedule/task.hpp"

namespace switchyard::schedule {

/// Stages of a mixture of experts in the order in which a lane passes them, and back: of any configuration.
std::vector<Stage> mixture_stages(Direction direction);
/// Whether one of them is in the mixtures of a configuration. An expert-parallel group of all ranks may be one rank:
/// then no row travels, and `experts_here` finds none that stays.
bool in_mixture(const Config& config, Stage stage);

/// What of a block is done again before its backward pass, in this order; nothing where all was kept. In a mixture
/// rows are on their way meanwhile: gradients leave for the experts first, for which everything is kept. Router means
/// its scores: choices, plan and counts are those of the forward pass.
std::vector<Stage> recompute_stages(const Config& config, int block);

/// The training step of a configuration, by its schedule, lanes and waves: all blocks forward, statistics, all blocks
/// backward, the update; of several waves only the last one goes back after the statistics. What is trained, recorded
/// and reckoned with.
std::vector<Task> make_tasks(const Config& config);
/// An evaluation pass: forward and statistics.
std::vector<Task> forward_pass(const Config& config);

/// Why `tasks` cannot be run in their order; empty where they can: each task's predecessors are in the list before it.
std::string fault_in(const std::vector<Task>& tasks);

}  // namespace switchyard::schedule
