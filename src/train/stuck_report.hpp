// What a watchdog says of ranks that stand still: which of them are the cause, and who waits for whom.
#pragma once
#include <string>
#include <vector>

#include "base/activity.hpp"
#include "train/mates.hpp"

namespace switchyard::train {

/// A rank of the node at the moment when something is said of it.
struct Seen {
  int rank = 0;
  int process = 0;
  ProcessState state = ProcessState::running;
  bool left = false;  ///< the run, in order
  activity::Now now;
};

/// What the ranks of a node do, and who is to blame.
struct Standstill {
  std::vector<Seen> seen;
  std::vector<std::string> hosts;           ///< of every rank of the world
  std::vector<std::vector<int>> waits_for;  ///< ranks of the world, of each of `seen`; in ascending order
  std::vector<int> causes;                  ///< places in `seen`; empty where no rank of this node is one
};

/// A rank waits for those whose messages it lacks. In a collective, and while it is not known whose messages those are,
/// it waits for those of the group that have ended, are stopped, have left, or have not come as far. Causes are ranks
/// that have ended or are stopped; where there are none, those that wait for nobody and are not waited with.
Standstill look_into(const std::vector<Seen>& seen, const std::vector<std::string>& hosts);

/// "step 12, task 9 dispatch_finish forward block 3 lane 0 (journey dispatch)", "the checkpoint after step 20".
std::string place_of(const activity::Now& now);

/// One line that says what is wrong, then one for each rank: causes first, then who waits for them, then others; of
/// more than `most` the rest is counted. `headline`: "no rank of host h made progress for 3.0 s (layout.timeout)".
std::string report(const Standstill& standstill, const std::string& headline, std::size_t most = 16);

}  // namespace switchyard::train
