// A published rule of thumb on capacity, choices and groups by the speed of links, beside what the model predicts for
// its choices and their alternatives. No MPI, no Kokkos.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "plan/prediction.hpp"

namespace switchyard::plan {

/// How experts are spread: one expert-parallel group over all nodes; the same where a token's experts are all on one of
/// them (group-limited routing); or every node with all experts, whose gradients cross instead of rows.
enum class Spread { shared, grouped, one_node };
const std::string& name_of(Spread spread);

/// What the rule says for a link.
struct Rule {
  std::string band;  ///< "above 400 Gbit/s"
  double capacity_low, capacity_high;
  int top_k;
  Spread spread;
};
const Rule& rule_for(double gbit_per_s);

inline constexpr std::array<double, 4> rule_capacities{1.0, 1.25, 1.5, 2.0};

/// One choice, predicted: of the exchanges the faster one.
struct Choice {
  int top_k;
  Spread spread;
  Prediction even;                                     ///< no capacity from 1 on drops or moves anything there
  std::array<Seconds, rule_capacities.size()> full{};  ///< of steps in which the busiest experts fill each capacity
};

/// top-1 and top-2, spread in each way that validate() lets pass.
std::vector<Choice> answer_rule(const Config& config, const Site& site);

/// Sentences: where the model agrees with the rule and where it does not. It knows of time, not of loss.
std::vector<std::string> verdict_on(const Rule& rule, const std::vector<Choice>& choices);

}  // namespace switchyard::plan
