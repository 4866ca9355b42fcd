#include "tensor/activation.hpp"

#include <type_traits>

#include "tensor/types.hpp"

namespace switchyard::activation {

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

namespace {

constexpr bool host = std::is_same_v<Device::memory_space, Kokkos::HostSpace>;
constexpr Index block = host ? 2048 : 1;  // elements of one iteration
constexpr int lanes = host ? 16 : 1;      // read before any is written, so that results may overwrite arguments

KOKKOS_INLINE_FUNCTION Index block_end(Index b, Index n) { return b * block + block < n ? b * block + block : n; }

/// Elements [i, i + n), n ≤ lanes.
template <class A>
KOKKOS_INLINE_FUNCTION void forward_lanes(Index i, int n, float* gate, float* up, float* hidden) {
  float g[lanes] = {}, u[lanes] = {}, h[lanes];
  for (int l = 0; l < n; ++l) u[l] = up[i + l];
  if (A::gated)
    for (int l = 0; l < n; ++l) g[l] = gate[i + l];
  for (int l = 0; l < lanes; ++l) {
    const Point p = A::at(g[l], u[l]);
    h[l] = p.hidden, g[l] = p.by_gate, u[l] = p.by_up;
  }
  for (int l = 0; l < n; ++l) hidden[i + l] = h[l];
  for (int l = 0; l < n; ++l) up[i + l] = u[l];
  if (A::gated)
    for (int l = 0; l < n; ++l) gate[i + l] = g[l];
}

template <class A>
void forward_all(Index n, float* gate, float* up, float* hidden) {
  Kokkos::parallel_for(
      "switchyard::activation::forward", Kokkos::RangePolicy<Device>(0, (n + block - 1) / block),
      KOKKOS_LAMBDA(Index b) {
        Index i = b * block;
        const Index last = block_end(b, n);
        for (; i + lanes <= last; i += lanes) forward_lanes<A>(i, lanes, gate, up, hidden);
        if (i < last) forward_lanes<A>(i, static_cast<int>(last - i), gate, up, hidden);
      });
}

/// out = factor · d, where out may be one of them.
KOKKOS_INLINE_FUNCTION void multiply(Index i, Index last, const float* factor, const float* d, float* out) {
  for (; i + lanes <= last; i += lanes) {
    float product[lanes];
    for (int l = 0; l < lanes; ++l) product[l] = factor[i + l] * d[i + l];
    for (int l = 0; l < lanes; ++l) out[i + l] = product[l];
  }
  for (; i < last; ++i) out[i] = factor[i] * d[i];
}

}  // namespace

void forward(Activation kind, Index n, float* gate, float* up, float* hidden) {
  if (kind == Activation::relu) return forward_all<Relu>(n, gate, up, hidden);
  if (kind == Activation::gelu) return forward_all<Gelu>(n, gate, up, hidden);
  forward_all<Swiglu>(n, gate, up, hidden);
}

void backward(Activation kind, Index n, const float* gate, const float* up, const float* d_hidden, float* d_gate,
              float* d_up) {
  const bool with_gate = gated(kind);
  Kokkos::parallel_for(
      "switchyard::activation::backward", Kokkos::RangePolicy<Device>(0, (n + block - 1) / block),
      KOKKOS_LAMBDA(Index b) {
        if (with_gate) multiply(b * block, block_end(b, n), gate, d_hidden, d_gate);
        multiply(b * block, block_end(b, n), up, d_hidden, d_up);
      });
}

}  // namespace switchyard::activation
