// The element-wise part of a feed-forward, dense or expert: hidden = gelu(up), relu(up) or silu(gate) * up, and
// backwards.
#pragma once
#include <Kokkos_Core.hpp>
#include <cstdint>

#include "config/config.hpp"
#include "tensor/math.hpp"
#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

namespace switchyard::activation {

/// Whether the activation has a third matrix, the gate.
inline bool gated(Activation kind) { return kind == Activation::swiglu; }

/// hidden from up, and gate where gated, all contiguous, of one shape and element. In passing, up and gate become the
/// derivatives of hidden by themselves, which is all that backward needs: value and slope share their exponential. GELU
/// in the exact form x·Φ(x) (Hendrycks & Gimpel 2016); SwiGLU silu(gate)·up (Shazeer 2020).
void forward(const Queue& queue, Activation kind, const Tensor& gate, const Tensor& up, const Tensor& hidden);

/// up becomes its gradient, and gate where gated, given d_hidden and what forward made of them.
void backward(const Queue& queue, Activation kind, const Tensor& gate, const Tensor& up, const Tensor& d_hidden);

/// hidden of one element, and its derivatives.
struct Point {
  float hidden, by_gate, by_up;
};

KOKKOS_INLINE_FUNCTION Point relu_at(float up) { return {up > 0.0f ? up : 0.0f, 0.0f, up > 0.0f ? 1.0f : 0.0f}; }

/// Φ(−|x|) = exp(−x²/2)·W(|x|) with W = t·polynomial of t = 1/(1 + 0.3·|x|), fitted to ½·erfcx(|x|/√2) on |x| ≤ 13.5
/// to 5e-8. Errors: hidden at most 2e-7·|x| and 4e-6 of itself, slope 2.5e-7.
KOKKOS_INLINE_FUNCTION Point gelu_at(float up) {
  const float e = fast_exp(-0.5f * up * up);
  const float t = 1.0f / Kokkos::fma(0.3f, magnitude(up), 1.0f);
  const float tail =
      e * (t * horner(t, 0.11961164138097517f, 0.12103440101295372f, 0.09810864721668969f, 0.13467478024692656f,
                      -0.0654936335801124f, 0.21942145763125448f, -0.16490503262390166f, 0.037547772080578724f));
  const float cdf = up < 0.0f ? tail : 1.0f - tail;
  return {up * cdf, 0.0f, Kokkos::fma(up * 0.398942280f, e, cdf)};
}

KOKKOS_INLINE_FUNCTION Point swiglu_at(float gate, float up) {
  const float s = sigmoid(gate), swish = gate * s;
  return {swish * up, up * (s * Kokkos::fma(gate, 1.0f - s, 1.0f)), swish};
}

/// The kinds as types: `at` of gate and up.
struct Relu {
  static constexpr bool gated = false;
  KOKKOS_INLINE_FUNCTION static Point at(float, float up) { return relu_at(up); }
};

struct Gelu {
  static constexpr bool gated = false;
  KOKKOS_INLINE_FUNCTION static Point at(float, float up) { return gelu_at(up); }
};

struct Swiglu {
  static constexpr bool gated = true;
  KOKKOS_INLINE_FUNCTION static Point at(float gate, float up) { return swiglu_at(gate, up); }
};

}  // namespace switchyard::activation
