#include "laboratory/table_model.hpp"

#include <algorithm>
#include <cmath>

#include "tensor/math.hpp"

namespace switchyard::laboratory {

TableModel::TableModel(int experts, int keys, int answers, double rate)
    : keys_(static_cast<std::size_t>(keys)),
      answers_(static_cast<std::size_t>(answers)),
      rate_(static_cast<float>(rate)),
      logits_(static_cast<std::size_t>(experts) * keys_ * answers_, 0.0f),
      squares_(logits_.size(), 0.0f),
      share_(answers_) {}

double TableModel::train(int expert, int key, int answer, float gate) {
  float *w = &logits_[row(expert, key)], *g2 = &squares_[row(expert, key)], *p = share_.data();
  const float max = *std::max_element(w, w + answers_);
  float sum = 0.0f, slope = 0.0f;
  for (std::size_t a = 0; a < answers_; ++a) p[a] = fast_exp(gate * (w[a] - max));
  for (std::size_t a = 0; a < answers_; ++a) sum += p[a];
  const float scale = 1.0f / sum;
  for (std::size_t a = 0; a < answers_; ++a)
    p[a] = p[a] * scale - (a == static_cast<std::size_t>(answer) ? 1.0f : 0.0f);
  for (std::size_t a = 0; a < answers_; ++a) slope += p[a] * w[a];
  for (std::size_t a = 0; a < answers_; ++a) {
    const float g = gate * p[a];
    g2[a] += g * g;
    w[a] -= rate_ * g / (std::sqrt(g2[a]) + 1e-8f);
  }
  return slope;
}

double TableModel::loss(int expert, int key, int answer) const {
  const float* w = &logits_[row(expert, key)];
  const double max = *std::max_element(w, w + answers_);
  double sum = 0.0;
  for (std::size_t a = 0; a < answers_; ++a) sum += std::exp(w[a] - max);
  return max + std::log(sum) - w[answer];
}

}  // namespace switchyard::laboratory
