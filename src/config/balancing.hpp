// The options that turn balancing on, and what follows from them for others: each balancer of moe/balancers/ has one.
#pragma once
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard {

struct BalancingOption {
  std::string key;                 ///< "moe.aux_loss"
  std::string off;                 ///< its value that turns it off
  std::vector<std::string> forms;  ///< options that say how, and change nothing while it is off
  std::string (*value)(const MoeConfig&);
  bool of_scores;    ///< a loss that needs scores, which some routers do not have
  bool evens_loads;  ///< does nothing where a layer has one expert

  bool on(const MoeConfig& moe) const { return value(moe) != off; }
};

const std::vector<BalancingOption>& balancing_options();

}  // namespace switchyard
