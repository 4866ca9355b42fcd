// The activation on a GPU: a pack a thread.
#include "tensor/activation.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::activation {
namespace {

using gpu::pack;

template <class T>
struct Elements {
  T *gate, *up, *hidden;
  Index count;
};

/// Elements [i, i + 8) of n; `aligned`: i is at 16 bytes.
template <bool aligned, class T>
__device__ void read_at(const T* values, Index i, Index n, float (&v)[pack]) {
  const int left = n - i < pack ? static_cast<int>(n - i) : pack;
  if (aligned && left == pack)
    gpu::read<true>(values + i, 0, pack, v);
  else
    gpu::read<false>(values + i, 0, left, v);
}

template <bool aligned, class T>
__device__ void write_at(const float (&v)[pack], T* values, Index i, Index n) {
  const int left = n - i < pack ? static_cast<int>(n - i) : pack;
  if (aligned && left == pack)
    gpu::write<true>(v, values + i, 0, pack);
  else
    gpu::write<false>(v, values + i, 0, left);
}

__device__ Index first_of_thread() { return (Index{blockIdx.x} * gpu::element_block + threadIdx.x) * pack; }

template <class A, bool aligned, class T>
__global__ void __launch_bounds__(gpu::element_block) activate(Elements<T> a) {
  const Index i = first_of_thread();
  if (i >= a.count) return;
  float gate[pack] = {}, up[pack], hidden[pack];
  read_at<aligned>(a.up, i, a.count, up);
  if (A::gated) read_at<aligned>(a.gate, i, a.count, gate);
#pragma unroll
  for (int l = 0; l < pack; ++l) {
    const Point p = A::at(gate[l], up[l]);
    hidden[l] = p.hidden, gate[l] = p.by_gate, up[l] = p.by_up;
  }
  write_at<aligned>(hidden, a.hidden, i, a.count);
  write_at<aligned>(up, a.up, i, a.count);
  if (A::gated) write_at<aligned>(gate, a.gate, i, a.count);
}

/// up and gate, where there is one, times `hidden`, which is the gradient.
template <bool aligned, class T>
__global__ void __launch_bounds__(gpu::element_block) multiply(Elements<T> a) {
  const Index i = first_of_thread();
  if (i >= a.count) return;
  float d[pack], up[pack], gate[pack] = {};
  read_at<aligned>(a.hidden, i, a.count, d);
  read_at<aligned>(a.up, i, a.count, up);
  if (a.gate) read_at<aligned>(a.gate, i, a.count, gate);
#pragma unroll
  for (int l = 0; l < pack; ++l) up[l] *= d[l], gate[l] *= d[l];
  write_at<aligned>(up, a.up, i, a.count);
  if (a.gate) write_at<aligned>(gate, a.gate, i, a.count);
}

template <class T>
T* elements(const Tensor& t) {
  expect(t.contiguous(), "rows one after another");
  return t.lines<T>().data;
}

template <class T>
Elements<T> elements_of(bool has_gate, const Tensor& gate, const Tensor& up, const Tensor& hidden) {
  return {has_gate ? elements<T>(gate) : nullptr, elements<T>(up), elements<T>(hidden), up.rows * up.width};
}

template <class T>
bool at_packs(const Elements<T>& a) {
  return ((reinterpret_cast<std::uintptr_t>(a.gate) | reinterpret_cast<std::uintptr_t>(a.up) |
           reinterpret_cast<std::uintptr_t>(a.hidden)) %
          16) == 0;
}

unsigned blocks_of(Index elements) { return gpu::blocks_for(elements, Index{gpu::element_block} * pack); }

template <class A, class T>
void launch(const Queue& queue, const Elements<T>& a) {
  gpu::by_packs(at_packs(a), [&](auto aligned) {
    activate<A, decltype(aligned)::value, T><<<blocks_of(a.count), gpu::element_block, 0, gpu::stream_of(queue)>>>(a);
  });
}

}  // namespace

void forward(const Queue& queue, Activation kind, const Tensor& gate, const Tensor& up, const Tensor& hidden) {
  if (hidden.rows * hidden.width == 0) return;
  by_element(hidden.element, [&](auto zero) {
    const auto a = elements_of<decltype(zero)>(gated(kind), gate, up, hidden);
    if (kind == Activation::relu)
      launch<Relu>(queue, a);
    else if (kind == Activation::gelu)
      launch<Gelu>(queue, a);
    else
      launch<Swiglu>(queue, a);
  });
  gpu::check_launch("activate");
}

void backward(const Queue& queue, Activation kind, const Tensor& gate, const Tensor& up, const Tensor& d_hidden) {
  if (up.rows * up.width == 0) return;
  by_element(up.element, [&](auto zero) {
    using T = decltype(zero);
    const auto a = elements_of<T>(gated(kind), gate, up, d_hidden);
    gpu::by_packs(at_packs(a), [&](auto aligned) {
      multiply<decltype(aligned)::value, T><<<blocks_of(a.count), gpu::element_block, 0, gpu::stream_of(queue)>>>(a);
    });
  });
  gpu::check_launch("multiply");
}

}  // namespace switchyard::activation
