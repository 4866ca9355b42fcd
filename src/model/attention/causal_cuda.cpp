// Attention on a GPU: tensors as the kernels of causal_launch_cuda.hpp see them.
#include <cstdint>

#include "model/attention/causal_launch_cuda.hpp"

namespace switchyard::model {
namespace {

using causal::Gradients;
using causal::Problem;
using causal::Rotated;
using causal::Strided;

constexpr Index round_up(Index n) { return (n + 63) / 64 * 64; }

/// Floats of delta, and of rotated copies of so many heads.
Index statistic_floats(const AttentionShape& shape) { return round_up(shape.sequences * shape.context * shape.heads); }
Index copy_floats(const AttentionShape& shape, int heads) {
  return round_up(shape.sequences * shape.context * heads * shape.head_dim / 2);
}

template <class T>
Strided<T> strided(const Tensor& t, bool turn) {
  return {t.lines<T>().data, t.stride, turn};
}

bool aligned(const Tensor& t) {
  return reinterpret_cast<std::uintptr_t>(t.data) % 16 == 0 && t.stride * bytes_of(t.element) % 16 == 0;
}

/// Whether rows can be read 16 bytes at a time by kernels as wide as a head.
bool vectors(const AttentionShape& shape, const AttentionState& state) {
  const int d = shape.head_dim;
  const bool whole = d == 16 || d == 32 || d == 64 || d == 96 || d == 128 || d == 256;
  return whole && aligned(state.q) && aligned(state.k) && aligned(state.v) && aligned(state.out);
}

/// Tensors as kernels see them; `by_vectors` 16 bytes at a time.
template <class T>
Problem<T> problem_of(const AttentionShape& shape, const Rotation& rotation, const AttentionState& state,
                      bool by_vectors) {
  expect(shape.head_dim % 2 == 0 && shape.head_dim <= 256, "an even head size of at most 256");
  const bool turn = rotation.cosine.extent(0) > 0;
  return {shape,
          strided<T>(state.q, turn),
          strided<T>(state.k, turn),
          strided<T>(state.v, false),
          strided<T>(state.out, false),
          state.log_sum.data(),
          rotation.cosine.data(),
          rotation.sine.data(),
          1.0f / Kokkos::sqrt(static_cast<float>(shape.head_dim)),
          by_vectors};
}

template <class T>
Gradients<T> gradients_of(const AttentionGradient& g, bool turn, float* delta) {
  return {strided<T>(g.out, false), strided<T>(g.q, turn), strided<T>(g.k, turn), strided<T>(g.v, false), delta};
}

Rotated rotated(const AttentionShape& shape, const Vector<float>& memory) {
  auto* q = reinterpret_cast<Bf16*>(memory.data() + statistic_floats(shape));
  return {q, q + 2 * copy_floats(shape, shape.heads)};
}

}  // namespace

Index attention_memory(const AttentionShape& shape, Element element, int /*threads*/) {
  const bool copies = element == Element::bf16 && causal::rotates_ahead(shape);
  return statistic_floats(shape) + (copies ? copy_floats(shape, shape.heads) + copy_floats(shape, shape.kv_heads) : 0);
}

void attention_forward(const Queue& queue, const AttentionShape& shape, const Rotation& rotation,
                       const AttentionState& state, const Vector<float>& memory) {
  if (shape.sequences == 0) return;
  tick();
  const cudaStream_t stream = queue.space().cuda_stream();
  if (state.q.element == Element::f32)
    return causal::launch_forward(stream, problem_of<float>(shape, rotation, state, false));
  const bool by_vectors = vectors(shape, state);
  causal::launch_forward(stream, problem_of<Bf16>(shape, rotation, state, by_vectors), rotated(shape, memory));
}

void attention_backward(const Queue& queue, const AttentionShape& shape, const Rotation& rotation,
                        const AttentionState& state, const AttentionGradient& gradient, const Vector<float>& memory) {
  if (shape.sequences == 0) return;
  tick();
  const cudaStream_t stream = queue.space().cuda_stream();
  const bool turn = rotation.cosine.extent(0) > 0;
  if (state.q.element == Element::f32)
    return causal::launch_backward(stream, problem_of<float>(shape, rotation, state, false),
                                   gradients_of<float>(gradient, turn, memory.data()));
  const bool by_vectors = vectors(shape, state) && aligned(gradient.out) && aligned(gradient.q) &&
                          aligned(gradient.k) && aligned(gradient.v);
  causal::launch_backward(stream, problem_of<Bf16>(shape, rotation, state, by_vectors),
                          gradients_of<Bf16>(gradient, turn, memory.data()), rotated(shape, memory));
}

}  // namespace switchyard::model
