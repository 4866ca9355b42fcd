// What can be predicted of a run as it is started, on whatever nodes that is.
#pragma once
#include <string>
#include <vector>

#include "plan/prediction.hpp"

namespace switchyard::plan {

/// The prediction, or in a sentence why there is none.
struct Forecast {
  Seconds seconds;
  std::string why_not;
};
/// `node_ranks`: of each node how many ranks are on it. layout.lanes is not 0, a placement file has been read.
Forecast forecast(const Config& config, const MachineDescription& machine, const std::vector<int>& node_ranks);

}  // namespace switchyard::plan
