// layout.lanes 0: the number of lanes with which a step is fastest, by steps on random tokens before the run.
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "config/config.hpp"

namespace switchyard::train {

struct LaneChoice {
  struct Candidate {
    int lanes = 0;
    double step = 0.0;  ///< s, median over the steps of the slowest rank
  };
  int lanes = 1;
  std::vector<Candidate> measured;  ///< nothing where there was nothing to choose
  /// What was chosen and why, for the log: "lanes: 2 by measurement (1: 105.2 ms, 2: 98.1 ms)"; empty where the
  /// configuration says how many.
  std::string text;
};

/// The candidate with the shortest step, of equal ones the first.
LaneChoice choose(const std::vector<LaneChoice::Candidate>& measured);

/// Takes a few steps with each of lane_candidates(), on a machine of its own that is gone before the next is made:
/// parameters as at the start of a run, learning rate 0, nothing is read or written. Where a step is not finite, the
/// fewest lanes are taken, and what the run itself does decides. The same on every rank; collective over the world.
/// `config` is resolved (model.vocabulary > 0).
LaneChoice choose_lanes(const Config& config, const comm::Communicator& world);

/// The same of a run, whose layout.lanes is then what was chosen; nothing is measured where the run that is resumed
/// (its folder; else empty) has all its steps.
LaneChoice settle_lanes(Config& config, const comm::Communicator& world, const std::string& resumed);

}  // namespace switchyard::train
