// Rotary position embedding (Su et al. 2021) in the rotate-half form: channels i and i + D/2 of a head turn by
// position · base^(−2i/D).
#pragma once
#include "nn/rows.hpp"
#include "tensor/arena.hpp"
#include "tensor/element.hpp"

namespace switchyard::model {

class Rope {
 public:
  /// Tables of `context` positions, computed in double.
  Rope(Arena& arena, const Config& config);
  /// Turns the heads of x(N, heads*D), of float or Bf16, forward, or backward (the transpose), in place.
  template <class T>
  void forward(const nn::Rows& rows, const Matrix<T>& x) const;
  template <class T>
  void backward(const nn::Rows& rows, const Matrix<T>& x) const;

 private:
  Matrix<float> cosine_, sine_;  // (T, D/2)
};

}  // namespace switchyard::model
