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

void TableModel::train(int expert, int key, int answer) {
  float *w = &logits_[row(expert, key)], *g2 = &squares_[row(expert, key)], *p = share_.data();
  const float most = *std::max_element(w, w + answers_);
  float sum = 0.0f;
  for (std::size_t a = 0; a < answers_; ++a) p[a] = fast_exp(w[a] - most);
  for (std::size_t a = 0; a < answers_; ++a) sum += p[a];
  const float scale = 1.0f / sum;
  for (std::size_t a = 0; a < answers_; ++a) {
    const float g = p[a] * scale - (a == static_cast<std::size_t>(answer) ? 1.0f : 0.0f);
    g2[a] += g * g;
    w[a] -= rate_ * g / (std::sqrt(g2[a]) + 1e-8f);
  }
}

double TableModel::loss(int expert, int key, int answer) const {
  const float* w = &logits_[row(expert, key)];
  const double most = *std::max_element(w, w + answers_);
  double sum = 0.0;
  for (std::size_t a = 0; a < answers_; ++a) sum += std::exp(w[a] - most);
  return most + std::log(sum) - w[answer];
}

double expected_loss(const TreeTasks& t, const Assignment& assignment, const TableModel& model) {
  double sum = 0.0;
  for (int z = 0; z < t.tasks(); ++z)
    for (int key = 0; key < t.keys; ++key)
      for (int level = 0; level <= t.depth; ++level) {
        const double share =
            t.task_share[static_cast<std::size_t>(z)] * t.level_share[static_cast<std::size_t>(level)] / t.keys;
        if (share > 0.0)
          sum += share * model.loss(assignment[static_cast<std::size_t>(z)], key, t.answer(z, key, level));
      }
  return sum;
}

}  // namespace switchyard::laboratory
