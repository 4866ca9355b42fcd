// An expert of limited capacity: in → hidden, ReLU, → out, softmax cross-entropy, trained with AdamW. Single-threaded.
#pragma once
#include <cstdint>
#include <vector>

#include "laboratory/adam.hpp"

namespace switchyard::laboratory {

struct MlpShape {
  int in, hidden, out;
  /// Weights of both layers and the thresholds of the hidden units; the output has none.
  int parameters() const { return (in + 1 + out) * hidden; }
};

/// Real is float, or double for tests. Weights in one row: W1 (in × hidden), b1 (hidden), W2 (hidden × out).
template <class Real>
class Mlp {
 public:
  /// W1 ~ N(0, 2 / in), b1 = 0, W2 ~ N(0, 1 / hidden), from (seed, expert).
  Mlp(MlpShape shape, std::uint64_t seed, int expert);

  /// Adds one sample's gradient, its logits being multiplied by gate; returns d loss / d gate. x is (in).
  Real add(const Real* x, int answer, Real gate = Real(1));
  /// One step with the mean of the gradients added since the last; nothing where there are none.
  void update(double rate, double decay);
  /// Cross-entropy of the answer at gate 1, nat.
  double loss(const Real* x, int answer) const;

  std::vector<Real>& weights() { return weights_; }
  const std::vector<Real>& gradient() const { return gradient_; }  ///< sum over the samples added

 private:
  void forward(const Real* x, Real* hidden, Real* logits) const;

  MlpShape shape_;
  std::size_t threshold_, second_;  ///< where b1 and W2 begin
  std::vector<Real> weights_, gradient_, hidden_, logits_, share_;
  Adam<Real> adam_;
  int samples_ = 0;
};

}  // namespace switchyard::laboratory
