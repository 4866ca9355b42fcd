#include "tensor/activation.hpp"

#include <type_traits>

#include "tensor/math.hpp"
#include "tensor/types.hpp"

namespace switchyard::activation {

/// The formulas, one element at a time: hidden of (gate, up), and its gradient given dh.
struct Relu {
  static constexpr bool gated = false;
  KOKKOS_INLINE_FUNCTION static float value(float, float up) { return up > 0.0f ? up : 0.0f; }
  KOKKOS_INLINE_FUNCTION static float by_up(float, float up, float dh) { return up > 0.0f ? dh : 0.0f; }
  KOKKOS_INLINE_FUNCTION static float by_gate(float, float, float) { return 0.0f; }
};

struct Gelu {
  static constexpr bool gated = false;
  KOKKOS_INLINE_FUNCTION static float value(float, float up) { return gelu(up); }
  KOKKOS_INLINE_FUNCTION static float by_up(float, float up, float dh) { return dh * gelu_derivative(up); }
  KOKKOS_INLINE_FUNCTION static float by_gate(float, float, float) { return 0.0f; }
};

struct Swiglu {
  static constexpr bool gated = true;
  KOKKOS_INLINE_FUNCTION static float value(float gate, float up) { return silu(gate) * up; }
  KOKKOS_INLINE_FUNCTION static float by_up(float gate, float, float dh) { return dh * silu(gate); }
  KOKKOS_INLINE_FUNCTION static float by_gate(float gate, float up, float dh) {
    return dh * up * silu_derivative(gate);
  }
};

namespace {

constexpr bool host = std::is_same_v<Device::memory_space, Kokkos::HostSpace>;
constexpr Index block = host ? 2048 : 1;  // elements of one iteration
constexpr int lanes = host ? 16 : 1;      // read before any is written, so that results may overwrite arguments

}  // namespace

/// Elements [i, i + n), n ≤ lanes.
template <class A>
KOKKOS_INLINE_FUNCTION void forward_lanes(Index i, int n, const float* gate, const float* up, float* hidden) {
  float g[lanes] = {}, u[lanes] = {};
  for (int l = 0; l < n; ++l) u[l] = up[i + l];
  if (A::gated)
    for (int l = 0; l < n; ++l) g[l] = gate[i + l];
  for (int l = 0; l < lanes; ++l) u[l] = A::value(g[l], u[l]);
  for (int l = 0; l < n; ++l) hidden[i + l] = u[l];
}

template <class A>
KOKKOS_INLINE_FUNCTION void backward_lanes(Index i, int n, const float* gate, const float* up, const float* d_hidden,
                                           float* d_gate, float* d_up) {
  float g[lanes] = {}, u[lanes] = {}, dh[lanes] = {}, du[lanes];
  for (int l = 0; l < n; ++l) u[l] = up[i + l], dh[l] = d_hidden[i + l];
  if (A::gated)
    for (int l = 0; l < n; ++l) g[l] = gate[i + l];
  for (int l = 0; l < lanes; ++l) du[l] = A::by_up(g[l], u[l], dh[l]);
  for (int l = 0; l < n; ++l) d_up[i + l] = du[l];
  if (!A::gated) return;
  for (int l = 0; l < lanes; ++l) g[l] = A::by_gate(g[l], u[l], dh[l]);
  for (int l = 0; l < n; ++l) d_gate[i + l] = g[l];
}

template <class A>
void forward_all(Index n, const float* gate, const float* up, float* hidden) {
  Kokkos::parallel_for(
      "switchyard::activation::forward", Kokkos::RangePolicy<Device>(0, (n + block - 1) / block),
      KOKKOS_LAMBDA(Index b) {
        const Index last = b * block + block < n ? b * block + block : n;
        Index i = b * block;
        for (; i + lanes <= last; i += lanes) forward_lanes<A>(i, lanes, gate, up, hidden);
        if (i < last) forward_lanes<A>(i, static_cast<int>(last - i), gate, up, hidden);
      });
}

template <class A>
void backward_all(Index n, const float* gate, const float* up, const float* d_hidden, float* d_gate, float* d_up) {
  Kokkos::parallel_for(
      "switchyard::activation::backward", Kokkos::RangePolicy<Device>(0, (n + block - 1) / block),
      KOKKOS_LAMBDA(Index b) {
        const Index last = b * block + block < n ? b * block + block : n;
        Index i = b * block;
        for (; i + lanes <= last; i += lanes) backward_lanes<A>(i, lanes, gate, up, d_hidden, d_gate, d_up);
        if (i < last) backward_lanes<A>(i, static_cast<int>(last - i), gate, up, d_hidden, d_gate, d_up);
      });
}

void forward(Activation kind, Index n, const float* gate, const float* up, float* hidden) {
  if (kind == Activation::relu) return forward_all<Relu>(n, gate, up, hidden);
  if (kind == Activation::gelu) return forward_all<Gelu>(n, gate, up, hidden);
  forward_all<Swiglu>(n, gate, up, hidden);
}

void backward(Activation kind, Index n, const float* gate, const float* up, const float* d_hidden, float* d_gate,
              float* d_up) {
  if (kind == Activation::relu) return backward_all<Relu>(n, gate, up, d_hidden, d_gate, d_up);
  if (kind == Activation::gelu) return backward_all<Gelu>(n, gate, up, d_hidden, d_gate, d_up);
  backward_all<Swiglu>(n, gate, up, d_hidden, d_gate, d_up);
}

}  // namespace switchyard::activation
