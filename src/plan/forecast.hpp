// What can be predicted of a run as it is started, on whatever nodes that is.
#pragma once
#include <string>
#include <vector>

#include "plan/prediction.hpp"

namespace switchyard::plan {

/// Why a step of this configuration has no price yet: "layout.placement: is p.yaml (…)"; empty where it has one.
std::string unpriced(const Config& config);

/// The prediction, or in a sentence why there is none.
struct Forecast {
  Seconds seconds;
  std::string why_not;
};
/// `node_ranks`: of each node how many ranks are on it. layout.lanes is not 0.
Forecast forecast(const Config& config, const MachineDescription& machine, const std::vector<int>& node_ranks);

}  // namespace switchyard::plan
