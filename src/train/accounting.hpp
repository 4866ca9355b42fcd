// How much of a step is communication, and how much of that is hidden behind work: from the intervals of its tasks, not
// from differences between runs.
#pragma once
#include <array>
#include <vector>

#include "schedule/hops.hpp"
#include "train/run_tasks.hpp"

namespace switchyard::train {

/// Seconds of one step on one rank.
struct Communication {
  double step = 0.0;     ///< the whole
  double busy = 0.0;     ///< union of the intervals in which rows or gradients travelled or ranks met
  double exposed = 0.0;  ///< of these those in which this rank did nothing else
  double compute = 0.0;  ///< union of the intervals of tasks, without what is exposed
  /// η, the share of communication that is hidden; 1 where there is none.
  double hidden_share() const { return schedule::hidden_share(busy, exposed); }
  /// The same of what was for one purpose: their unions may overlap, and what is exposed of all adds up to the whole.
  struct Part {
    double busy = 0.0, exposed = 0.0;
  };
  std::array<Part, static_cast<std::size_t>(ledger::Purpose::count)> parts{};
};

/// One of the hops of what a task sent.
const moe::Hop& hop_of(const Interval& interval, schedule::HopKind kind);

/// Of a step of `tasks`, of which `intervals` are this rank's. Rows travel from when they leave until somebody sees
/// that they have arrived, gradients until their sums are made and shared; what a task that takes them in waits is
/// exposed. A task in which ranks meet and wait for each other (statistics and norms, weights of other owners, counts
/// of a plan) is exposed as a whole. Nothing where one rank works alone.
Communication communication(const std::vector<schedule::Task>& tasks, const std::vector<Interval>& intervals,
                            const Layout& layout);

}  // namespace switchyard::train
