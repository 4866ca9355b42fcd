#include "moe/balancers/balancer.hpp"

#include <algorithm>
#include <numeric>

namespace switchyard::moe {

const std::vector<BalancerKind>& balancer_kinds() {
  static const std::vector<BalancerKind> kinds{
      {"switch_loss", make_switch_loss}, {"importance_loss", make_importance_loss}, {"z_loss", make_z_loss},
      {"bias_rule", make_bias_rule},     {"quantile_bias", make_quantile_bias},
  };
  return kinds;
}

Balancers make_balancers(const Config& config) {
  Balancers balancers;
  for (const BalancerKind& kind : balancer_kinds())
    if (auto balancer = kind.make(config)) balancers.push_back(std::move(balancer));
  return balancers;
}

bool any_loss(const Balancers& balancers) {
  return std::any_of(balancers.begin(), balancers.end(), [](const auto& balancer) { return balancer->has_loss(); });
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace switchyard::moe
