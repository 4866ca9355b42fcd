// What ranks sent each other in a step and how long that took, gathered on rank 0 with the other measures of a step.
#pragma once
#include <cstdint>
#include <vector>

#include "record/run_file.hpp"
#include "train/accounting.hpp"
#include "train/hop_times.hpp"
#include "train/machine.hpp"
#include "train/step.hpp"

namespace switchyard::train {

class CommunicationMeter {
 public:
  explicit CommunicationMeter(const Machine& machine);
  /// Appends what rank 0 needs of this rank, the same number of values on every rank. The ledger must be the step's.
  void add_own(const StepResult& result, std::vector<double>& measures) const;
  /// On rank 0, for every rank in order: takes its values from `of`, and returns what follows them.
  const double* take(const double* of);
  /// And then of all of them.
  record::CommunicationRow row(std::int64_t step);
  /// Collective: on rank 0 the hops and the pairs of a timeline, times since `origin` on the clock that is `offset`
  /// ahead of this rank's.
  void add_timeline(const StepResult& result, double offset, double origin, record::TimelineRow& row) const;
  HopTimes& hop_times() { return hop_times_; }

 private:
  const Machine& machine_;
  std::vector<schedule::TaskHop> all_hops_, hops_;  ///< the second: of rows, none where these do not travel
  HopTimes hop_times_;
  record::CommunicationRow row_;  ///< sums over the ranks that were taken
  double length_ = 0.0;           ///< s, of their steps
  std::vector<double> hop_seconds_;
};

}  // namespace switchyard::train
