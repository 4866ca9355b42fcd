// Softmax cross-entropy with z-loss in double.
#pragma once
#include <cmath>
#include <vector>

namespace switchyard::reference {

struct RowLoss {
  double cross_entropy, log_sum;
  int predicted;
  std::vector<double> gradient;  ///< of token_weight·cross_entropy + z_weight·log_sum²
};

inline RowLoss head_row(const std::vector<double>& logits, int target, double token_weight, double z_weight) {
  RowLoss r{0.0, 0.0, 0, {}};
  double sum = 0.0;
  for (std::size_t c = 0; c < logits.size(); ++c) {
    sum += std::exp(logits[c]);
    if (logits[c] > logits[r.predicted]) r.predicted = static_cast<int>(c);
  }
  r.log_sum = std::log(sum);
  r.cross_entropy = r.log_sum - logits[target];
  for (std::size_t c = 0; c < logits.size(); ++c) {
    const double p = std::exp(logits[c]) / sum;
    r.gradient.push_back(token_weight * (p - (static_cast<int>(c) == target)) + 2.0 * z_weight * r.log_sum * p);
  }
  return r;
}

}  // namespace switchyard::reference
