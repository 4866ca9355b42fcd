#include "config/balancing.hpp"

#include "config/values.hpp"

namespace switchyard {

const std::vector<BalancingOption>& balancing_options() {
  static const std::vector<BalancingOption> options{
      {"moe.aux_loss", "0", {"moe.aux_scope"}, [](const MoeConfig& m) { return format_value(m.aux_loss); }, true, true},
      {"moe.importance_loss",
       "0",
       {"moe.importance_form"},
       [](const MoeConfig& m) { return format_value(m.importance_loss); },
       true,
       true},
      {"moe.z_loss", "0", {}, [](const MoeConfig& m) { return format_value(m.z_loss); }, true, false},
      {"moe.bias_rule",
       "none",
       {"moe.bias_rate", "moe.bias_unit", "moe.bias_schedule", "moe.bias_from", "moe.bias_until", "moe.bias_memory",
        "moe.bias_range", "moe.bias_bins"},
       [](const MoeConfig& m) { return format_value(m.bias_rule); },
       false,
       true}};
  return options;
}

}  // namespace switchyard
