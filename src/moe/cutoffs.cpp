#include "moe/cutoffs.hpp"

#include <algorithm>

namespace switchyard::moe {

CutoffBins cutoff_bins(const std::vector<float>& bias, const MoeConfig& moe) {
  const auto [low, high] = std::minmax_element(bias.begin(), bias.end());
  const auto range = static_cast<float>(moe.bias_range);
  return {*low - range, static_cast<float>(moe.bias_bins) / (*high - *low + 2.0f * range)};
}

std::vector<double> cutoff_quantiles(const std::vector<std::int64_t>& counts, const CutoffBins& bins,
                                     std::size_t experts, double chosen) {
  const std::size_t length = counts.size() / experts;
  std::vector<double> found;
  for (std::size_t e = 0; e < experts; ++e) {
    const std::int64_t* count = counts.data() + e * length;
    std::size_t bin = 0;
    double before = 0.0;
    while (bin + 1 < length && before + static_cast<double>(count[bin]) < chosen)
      before += static_cast<double>(count[bin++]);
    const double inside = count[bin] > 0 ? (chosen - before) / static_cast<double>(count[bin]) : 1.0;
    found.push_back(bins.first + (static_cast<double>(bin) + std::min(inside, 1.0)) / bins.per_unit);
  }
  return found;
}

}  // namespace switchyard::moe
