#include "moe/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace switchyard::moe {

double max_vio(const std::vector<std::int64_t>& assigned) {
  const std::int64_t total = std::accumulate(assigned.begin(), assigned.end(), std::int64_t{0});
  if (total == 0) return 0.0;
  const auto experts = static_cast<double>(assigned.size());
  return static_cast<double>(*std::max_element(assigned.begin(), assigned.end())) * experts /
             static_cast<double>(total) -
         1.0;
}

double drop_share(const std::vector<std::int64_t>& assigned, const std::vector<std::int64_t>& kept) {
  const std::int64_t all = std::accumulate(assigned.begin(), assigned.end(), std::int64_t{0});
  const std::int64_t left = std::accumulate(kept.begin(), kept.end(), std::int64_t{0});
  return all > 0 ? static_cast<double>(all - left) / static_cast<double>(all) : 0.0;
}

/// The expected maximum of n draws over E, by E independent Poisson(n/E) counts, E[max] = Σ_{x≥0} (1 − F(x)^E): their
/// sum fluctuates, but the expected maximum is so nearly linear in n that its average over the fluctuation is that at
/// n. Different experts for one token narrow all deviations by √((E−k)/(E−1)).
double max_vio_floor(std::int64_t tokens, int top_k, int experts) {
  if (tokens <= 0 || experts <= top_k) return 0.0;
  const double mean = static_cast<double>(tokens) * top_k / experts, width = 12.0 * std::sqrt(mean) + 40.0;
  const double first = std::max(0.0, std::floor(mean - width));
  double below = 0.0, largest = first;
  for (double x = first; x < mean + width; x += 1.0) {
    below += std::exp(x * std::log(mean) - mean - std::lgamma(x + 1.0));
    largest += 1.0 - std::pow(std::min(below, 1.0), experts);
  }
  return (largest - mean) / mean * std::sqrt(static_cast<double>(experts - top_k) / (experts - 1.0));
}

}  // namespace switchyard::moe
