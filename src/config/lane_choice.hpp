// Which numbers of lanes layout.lanes 0 chooses between.
#pragma once
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard {

constexpr int max_lanes = 1024;

/// Numbers of lanes that a run on these ranks measures, ascending: powers of two up to the grains of the rank that has
/// most, at most max_lanes. layout.waves at least, and alone where other lanes have nothing to do with rows that
/// travel: with layout.schedule serial, without experts, and where every rank holds all of them. What is given alone
/// where layout.lanes is not 0.
std::vector<int> lane_candidates(const Config& config, int ranks);

/// "layout.schedule serial": why no lane has work to do while rows of another travel; empty where they have.
std::string why_lanes_stand(const Config& config, int ranks);

Config with_lanes(Config config, int lanes);

}  // namespace switchyard
