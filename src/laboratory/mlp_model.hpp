// The variant of the laboratory model whose experts are small networks: one-hot key → hidden ReLU → logits, AdamW with
// weight decay 0.01, one step a batch for each expert that had samples in it.
#pragma once
#include "laboratory/experts.hpp"
#include "laboratory/mlp.hpp"

namespace switchyard::laboratory {

class MlpModel final : public Experts {
 public:
  MlpModel(int experts, MlpShape shape, double rate, std::uint64_t seed);
  double train(int expert, int key, int answer, float gate) override;
  void end_batch(double progress) override;
  double loss(int expert, int key, int answer) const override;

 private:
  const float* one_hot(int key) const { return &keys_[static_cast<std::size_t>(key) * static_cast<std::size_t>(in_)]; }
  int in_;
  double rate_;
  std::vector<float> keys_;  ///< identity (in × in)
  std::vector<Mlp<float>> experts_;
};

}  // namespace switchyard::laboratory
