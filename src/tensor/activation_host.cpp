// The activation on the CPU.
#include "tensor/activation.hpp"

namespace switchyard::activation {

namespace {

constexpr Index block = 2048;  // elements of one iteration
constexpr int lanes = 16;      // read before any is written, so that results may overwrite arguments

KOKKOS_INLINE_FUNCTION Index block_end(Index b, Index n) { return b * block + block < n ? b * block + block : n; }

/// Elements [i, i + n), n ≤ lanes.
template <class A, class T>
KOKKOS_INLINE_FUNCTION void forward_lanes(Index i, int n, T* gate, T* up, T* hidden) {
  float g[lanes] = {}, u[lanes] = {}, h[lanes];
  for (int l = 0; l < n; ++l) u[l] = load(up[i + l]);
  if (A::gated)
    for (int l = 0; l < n; ++l) g[l] = load(gate[i + l]);
  for (int l = 0; l < lanes; ++l) {
    const Point p = A::at(g[l], u[l]);
    h[l] = p.hidden, g[l] = p.by_gate, u[l] = p.by_up;
  }
  for (int l = 0; l < n; ++l) store(h[l], hidden[i + l]);
  for (int l = 0; l < n; ++l) store(u[l], up[i + l]);
  if (A::gated)
    for (int l = 0; l < n; ++l) store(g[l], gate[i + l]);
}

template <class A, class T>
void forward_all(const Queue& queue, Index n, T* gate, T* up, T* hidden) {
  Kokkos::parallel_for(
      "switchyard::activation::forward", queue.range((n + block - 1) / block), KOKKOS_LAMBDA(Index b) {
        Index i = b * block;
        const Index last = block_end(b, n);
        for (; i + lanes <= last; i += lanes) forward_lanes<A>(i, lanes, gate, up, hidden);
        if (i < last) forward_lanes<A>(i, static_cast<int>(last - i), gate, up, hidden);
      });
}

/// values = values · d.
template <class T>
KOKKOS_INLINE_FUNCTION void multiply(Index i, Index last, const T* d, T* values) {
  for (; i + lanes <= last; i += lanes) {
    float product[lanes];
    for (int l = 0; l < lanes; ++l) product[l] = load(values[i + l]) * load(d[i + l]);
    for (int l = 0; l < lanes; ++l) store(product[l], values[i + l]);
  }
  for (; i < last; ++i) store(load(values[i]) * load(d[i]), values[i]);
}

template <class T>
void forward_of(const Queue& queue, Activation kind, Index n, T* gate, T* up, T* hidden) {
  if (kind == Activation::relu) return forward_all<Relu>(queue, n, gate, up, hidden);
  if (kind == Activation::gelu) return forward_all<Gelu>(queue, n, gate, up, hidden);
  forward_all<Swiglu>(queue, n, gate, up, hidden);
}

/// up = up · d, and gate = gate · d where there is one.
template <class T>
void multiply_all(const Queue& queue, Index n, const T* d, T* gate, T* up) {
  Kokkos::parallel_for(
      "switchyard::activation::backward", queue.range((n + block - 1) / block), KOKKOS_LAMBDA(Index b) {
        if (gate) multiply(b * block, block_end(b, n), d, gate);
        multiply(b * block, block_end(b, n), d, up);
      });
}

/// All elements of a tensor, one after another.
template <class T>
T* elements(const Tensor& t) {
  expect(t.contiguous(), "rows one after another");
  return t.lines<T>().data;
}

}  // namespace

void forward(const Queue& queue, Activation kind, const Tensor& gate, const Tensor& up, const Tensor& hidden) {
  by_element(hidden.element, [&](auto zero) {
    using T = decltype(zero);
    forward_of(queue, kind, hidden.rows * hidden.width, gated(kind) ? elements<T>(gate) : nullptr, elements<T>(up),
               elements<T>(hidden));
  });
}

void backward(const Queue& queue, Activation kind, const Tensor& gate, const Tensor& up, const Tensor& d_hidden) {
  by_element(up.element, [&](auto zero) {
    using T = decltype(zero);
    multiply_all(queue, up.rows * up.width, elements<T>(d_hidden), gated(kind) ? elements<T>(gate) : nullptr,
                 elements<T>(up));
  });
}

}  // namespace switchyard::activation
