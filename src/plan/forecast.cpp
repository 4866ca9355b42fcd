#include "plan/forecast.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "config/values.hpp"

namespace switchyard::plan {

Forecast forecast(const Config& config, const MachineDescription& machine, const std::vector<int>& node_ranks) {
  const int ranks = std::accumulate(node_ranks.begin(), node_ranks.end(), 0);
  if (std::adjacent_find(node_ranks.begin(), node_ranks.end(), std::not_equal_to<>()) != node_ranks.end())
    return {{}, "the nodes have different numbers of ranks, " + format_value(node_ranks)};
  const Site site{ranks, static_cast<int>(node_ranks.size()), machine};
  if (const std::string lacks = lacking(site); !lacks.empty()) return {{}, lacks};
  return {predict(config, site).seconds, ""};
}

}  // namespace switchyard::plan
