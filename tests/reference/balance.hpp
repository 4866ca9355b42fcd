// Oracle of the balancing losses, the bias rules and capacity, each by its definition.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "config/config.hpp"

namespace switchyard::reference {

/// (E/k) Σ_i f_i P_i, f = count / tokens, P = mass / tokens.
inline double switch_loss(const std::vector<double>& count, const std::vector<double>& mass, double tokens, int k) {
  double sum = 0.0;
  for (std::size_t e = 0; e < count.size(); ++e) sum += (count[e] / tokens) * (mass[e] / tokens);
  return sum * static_cast<double>(count.size()) / k;
}

inline double importance(ImportanceForm form, const std::vector<double>& mass, double tokens) {
  const double n = static_cast<double>(mass.size());
  double sum = 0.0;
  if (form == ImportanceForm::squared_deviation) {
    for (const double m : mass) sum += std::pow(m / tokens - 1.0 / n, 2);
    return sum;
  }
  const double mean = std::accumulate(mass.begin(), mass.end(), 0.0) / n;
  for (const double m : mass) sum += (m - mean) * (m - mean) / n;
  return sum / (mean * mean);
}

/// Step of the bias of an expert that lacks mean − count rows, over the rate; throws at a rule without a line here.
inline double bias_step(BiasRule rule, double lack, double mean) {
  const double sign = lack > 0.0 ? 1.0 : lack < 0.0 ? -1.0 : 0.0;
  switch (rule) {
    case BiasRule::sign:
    case BiasRule::centred_sign:
      return sign;
    case BiasRule::proportional:
      return lack / mean;
    default:
      throw std::out_of_range("a bias rule without a definition");
  }
}

inline std::vector<double> moved_bias(BiasRule rule, double rate, const std::vector<std::int64_t>& count,
                                      std::vector<double> bias) {
  const double n = static_cast<double>(count.size());
  const double mean = static_cast<double>(std::accumulate(count.begin(), count.end(), std::int64_t{0})) / n;
  std::vector<double> step;
  for (const std::int64_t c : count) step.push_back(rate * bias_step(rule, mean - static_cast<double>(c), mean));
  const double centre = rule == BiasRule::centred_sign ? std::accumulate(step.begin(), step.end(), 0.0) / n : 0.0;
  for (std::size_t e = 0; e < step.size(); ++e) bias[e] += step[e] - centre;
  return bias;
}

/// The bias with which an expert is above the cutoff of `chosen` of the tokens: their cutoff − score sorted, linear
/// between them.
inline double cutoff_quantile(std::vector<double> gaps, double chosen) {
  std::sort(gaps.begin(), gaps.end());
  const auto below = static_cast<std::size_t>(chosen);
  if (below == 0) return gaps.front();
  if (below >= gaps.size()) return gaps.back();
  return gaps[below - 1] + (gaps[below] - gaps[below - 1]) * (chosen - static_cast<double>(below));
}

/// Token and place of choice i, where those of token t are [first[t], first[t + 1]).
inline std::pair<std::int64_t, std::int64_t> place_of(const std::vector<std::int32_t>& first, std::int64_t i) {
  std::int64_t token = 0;
  while (first[token + 1] <= i) ++token;
  return {token, i - first[token]};
}

/// Whether choice i is kept: fewer than `rows` choices of the same expert come before it.
inline bool is_kept(std::int64_t rows, DropOrder order, const std::vector<std::int32_t>& first,
                    const std::vector<std::int32_t>& expert, const std::vector<float>& weight, std::size_t i) {
  const auto [token, choice] = place_of(first, i);
  std::int64_t before = 0;
  for (std::size_t o = 0; o < expert.size(); ++o) {
    if (o == i || expert[o] != expert[i]) continue;
    const auto [other, other_choice] = place_of(first, o);
    if (order == DropOrder::position)
      before += other_choice < choice || (other_choice == choice && other < token);
    else
      before += weight[o] > weight[i] || (weight[o] == weight[i] && other < token);
  }
  return before < rows;
}

}  // namespace switchyard::reference
