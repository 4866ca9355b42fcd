// Rotary position embedding (Su et al. 2021) in the rotate-half form: channels i and i + D/2 of a head turn by
// position · base^(−2i/D).
#pragma once
#include "config/config.hpp"
#include "model/attention/causal.hpp"
#include "tensor/arena.hpp"

namespace switchyard::model {

class Rope {
 public:
  /// Tables of `context` positions, computed in double.
  Rope(Arena& arena, const Config& config);
  const Rotation& rotation() const { return rotation_; }

 private:
  Rotation rotation_;
};

/// Turns a head (2·half) at a position with these cosines and sines (half), in place: sign 1 forward, −1 back (the
/// transpose).
KOKKOS_INLINE_FUNCTION void turn_head(float* x, const float* cosine, const float* sine, float sign, int half) {
  for (int i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half], c = cosine[i], s = sign * sine[i];
    x[i] = Kokkos::fma(-b, s, a * c);
    x[i + half] = Kokkos::fma(a, s, b * c);
  }
}

}  // namespace switchyard::model
