// The hops of a step: where in it rows or gradients may be on their way between ranks, as the timeline lists them and
// as messages name them. Free of Kokkos and MPI.
#pragma once
#include <string>
#include <vector>

#include "base/ledger.hpp"
#include "config/config.hpp"
#include "config/layout.hpp"
#include "schedule/task.hpp"

namespace switchyard::schedule {

enum class HopKind {
  rows,     ///< straight to their rank, or over the first leg where rows go by nodes
  near,     ///< where they do: before or after that, inside a node
  weights,  ///< and the gradients of combine weights on their way home
  sums,     ///< gradients of a bucket to the owners of their sums, and these to all
  count
};

struct TaskHop {
  int task;  ///< of the list, which sends them
  HopKind kind;
};

/// In the order of the tasks, of each task in that of its kinds; only kinds that layout.exchange can have.
std::vector<TaskHop> hops_of(const std::vector<Task>& tasks, const Config& config);

const std::string& name_of(HopKind kind);  ///< "rows"
/// What messages of a task are for that are not of hops: journeys of rows say themselves what they are for.
ledger::Purpose purpose_of(Stage stage);
/// What a hop of such a task is for.
ledger::Purpose purpose_of(Stage stage, Direction direction, HopKind kind);

/// Of each task whether ranks meet in it and wait for each other.
std::vector<bool> meetings(const std::vector<Task>& tasks, const Layout& layout);

/// η, the share of communication that is hidden, of seconds; 1 where there is none.
inline double hidden_share(double busy, double exposed) { return busy > 0.0 ? 1.0 - exposed / busy : 1.0; }

}  // namespace switchyard::schedule
