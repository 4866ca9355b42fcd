// The laboratory model: one layer whose experts are tables of logits (key, answer), trained with Adagrad. It isolates
// routing: an expert's table can hold any one distribution a key, so all that is lost is lost by the router, or not yet
// learned.
#pragma once
#include <vector>

#include "laboratory/experts.hpp"

namespace switchyard::laboratory {

/// Adagrad on single samples: w −= rate · g / (√Σg² + 1e-8).
class TableModel final : public Experts {
 public:
  TableModel(int experts, int keys, int answers, double rate);
  double train(int expert, int key, int answer, float gate) override;
  void end_batch(double) override {}
  double loss(int expert, int key, int answer) const override;

 private:
  std::size_t row(int expert, int key) const {
    return (static_cast<std::size_t>(expert) * keys_ + static_cast<std::size_t>(key)) * answers_;
  }
  std::size_t keys_, answers_;
  float rate_;
  std::vector<float> logits_, squares_, share_;
};

}  // namespace switchyard::laboratory
