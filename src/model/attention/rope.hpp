// Rotary position embedding (Su et al. 2021) in the rotate-half form: channels i and i + D/2 of a head turn by
// position · base^(−2i/D).
#pragma once
#include "config/config.hpp"
#include "tensor/arena.hpp"
#include "tensor/queue.hpp"

namespace switchyard::model {

class Rope {
 public:
  /// Tables of `context` positions, computed in double.
  Rope(Arena& arena, const Config& config);
  /// Turns the heads of x(N, heads*D) forward, or backward (the transpose), in place.
  void forward(const Queue& queue, const Tensor& x) const { turn(queue, x, 1.0f); }
  void backward(const Queue& queue, const Tensor& x) const { turn(queue, x, -1.0f); }

 private:
  void turn(const Queue& queue, const Tensor& x, float sign) const;
  Matrix<float> cosine_, sine_;  // (T, D/2)
};

}  // namespace switchyard::model
