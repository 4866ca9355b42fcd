#include "plan/forecast.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "config/values.hpp"

namespace switchyard::plan {

std::string unpriced(const Config& config) {
  const LayoutConfig& layout = config.layout;
  if (layout.expert_tensor_parallel != 1)
    return "layout.expert_tensor_parallel: is " + format_value(layout.expert_tensor_parallel) +
           " (ranks that share experts are not priced yet)";
  if (layout.placement != contiguous_placement)
    return "layout.placement: is " + layout.placement + " (bytes are those of even routing, wherever experts live)";
  return "";
}

Forecast forecast(const Config& config, const MachineDescription& machine, const std::vector<int>& node_ranks) {
  const int ranks = std::accumulate(node_ranks.begin(), node_ranks.end(), 0);
  if (const std::string why = unpriced(config); !why.empty()) return {{}, why};
  if (std::adjacent_find(node_ranks.begin(), node_ranks.end(), std::not_equal_to<>()) != node_ranks.end())
    return {{}, "the nodes have different numbers of ranks, " + format_value(node_ranks)};
  const Site site{ranks, static_cast<int>(node_ranks.size()), machine};
  if (const std::string lacks = lacking(site); !lacks.empty()) return {{}, lacks};
  return {predict(config, site).seconds, ""};
}

}  // namespace switchyard::plan
