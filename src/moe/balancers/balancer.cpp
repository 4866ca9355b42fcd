#include "moe/balancers/balancer.hpp"

#include <numeric>

namespace switchyard::moe {

const std::vector<BalancerKind>& balancer_kinds() {
  static const std::vector<BalancerKind> kinds{
      {"switch_loss", make_switch_loss},
      {"importance_loss", make_importance_loss},
      {"z_loss", make_z_loss},
      {"bias_rule", make_bias_rule},
  };
  return kinds;
}

Balancers make_balancers(const MoeConfig& moe) {
  Balancers balancers;
  for (const BalancerKind& kind : balancer_kinds())
    if (auto balancer = kind.make(moe)) balancers.push_back(std::move(balancer));
  return balancers;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace switchyard::moe
