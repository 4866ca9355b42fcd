#include "laboratory/mlp_model.hpp"

namespace switchyard::laboratory {

MlpModel::MlpModel(int experts, MlpShape shape, double rate, std::uint64_t seed)
    : in_(shape.in), rate_(rate), keys_(static_cast<std::size_t>(in_) * static_cast<std::size_t>(in_), 0.0f) {
  for (std::size_t key = 0; key < keys_.size(); key += static_cast<std::size_t>(in_) + 1) keys_[key] = 1.0f;
  for (int e = 0; e < experts; ++e) experts_.emplace_back(shape, seed, e);
}

double MlpModel::train(int expert, int key, int answer, float gate) {
  return experts_[static_cast<std::size_t>(expert)].add(one_hot(key), answer, gate);
}

void MlpModel::end_batch(double progress) {
  for (Mlp<float>& expert : experts_) expert.update(rate_ * annealed(progress), 0.01);
}

double MlpModel::loss(int expert, int key, int answer) const {
  return experts_[static_cast<std::size_t>(expert)].loss(one_hot(key), answer);
}

}  // namespace switchyard::laboratory
