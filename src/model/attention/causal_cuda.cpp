// Attention on a GPU: score matrices of some heads at a time in memory, transposed so that neighbouring queries lie
// beside each other; every element of a result is one thread's chain, without atomics.
#include <algorithm>

#include "model/attention/causal.hpp"
#include "tensor/math.hpp"

namespace switchyard::model {
namespace {

constexpr Index score_elements = Index{1} << 26;  // bounds a score matrix of several heads: 256 MiB

/// Heads [first, first + count) of the list (sequence, head), sequences outermost.
struct Part {
  AttentionShape shape;
  Index first, count;
  float scale;
  KOKKOS_INLINE_FUNCTION Index sequence(Index p) const { return (first + p) / shape.heads; }
  KOKKOS_INLINE_FUNCTION Index head(Index p) const { return (first + p) % shape.heads; }
  KOKKOS_INLINE_FUNCTION Index row(Index p, Index t) const { return sequence(p) * shape.context + t; }
  KOKKOS_INLINE_FUNCTION const float* query(const Matrix<float>& m, Index p, Index t) const {
    return &m(row(p, t), head(p) * shape.head_dim);
  }
  KOKKOS_INLINE_FUNCTION const float* key(const Matrix<float>& m, Index p, Index t) const {
    return &m(row(p, t), head(p) / (shape.heads / shape.kv_heads) * shape.head_dim);
  }
};

KOKKOS_INLINE_FUNCTION float chain(const float* a, const float* b, int n) {
  float sum = 0.0f;
  for (int c = 0; c < n; ++c) sum = Kokkos::fma(a[c], b[c], sum);
  return sum;
}

/// scores(p, j, i) of key j and query i ≥ j, scaled.
void score(const Queue& queue, const Part& part, const AttentionState& state, const Vector<float>& scores) {
  const Index context = part.shape.context, square = context * context;
  Kokkos::parallel_for(
      "switchyard::attention::score", queue.range(part.count * square), KOKKOS_LAMBDA(Index it) {
        const Index p = it / square, j = it % square / context, i = it % context;
        if (i < j) return;
        scores(it) = chain(part.query(state.q, p, i), part.key(state.k, p, j), part.shape.head_dim) * part.scale;
      });
}

/// Scores of a query → probabilities; keeps the log of their sum.
void softmax(const Queue& queue, const Part& part, const AttentionState& state, const Vector<float>& scores) {
  const Index context = part.shape.context;
  Kokkos::parallel_for(
      "switchyard::attention::softmax", queue.range(part.count * context), KOKKOS_LAMBDA(Index it) {
        const Index p = it / context, i = it % context;
        float* column = &scores(p * context * context + i);
        float shift = column[0], sum = 0.0f;
        for (Index j = 1; j <= i; ++j) shift = column[j * context] > shift ? column[j * context] : shift;
        for (Index j = 0; j <= i; ++j) sum += fast_exp(column[j * context] - shift);
        const float inverse = 1.0f / sum;
        for (Index j = 0; j <= i; ++j) column[j * context] = fast_exp(column[j * context] - shift) * inverse;
        state.log_sum(part.head(p), part.row(p, i)) = shift + fast_log(sum);
      });
}

/// out(i, c) of a query: chain over its keys of weights(p, j, i)·values(j, c).
void gather_keys(const Queue& queue, const Part& part, const Vector<float>& weights, const Matrix<float>& values,
                 const Matrix<float>& out) {
  const Index context = part.shape.context, width = part.shape.head_dim;
  Kokkos::parallel_for(
      "switchyard::attention::gather_keys", queue.range(part.count * context * width), KOKKOS_LAMBDA(Index it) {
        const Index p = it / (context * width), i = it / width % context, c = it % width;
        const float* column = &weights(p * context * context + i);
        float sum = 0.0f;
        for (Index j = 0; j <= i; ++j) sum = Kokkos::fma(column[j * context], part.key(values, p, j)[c], sum);
        out(part.row(p, i), part.head(p) * width + c) = sum;
      });
}

/// out(j, c) of a key: chain over its query heads and their queries of weights(p, j, i)·values(i, c).
void gather_queries(const Queue& queue, const Part& part, const Vector<float>& weights, const Matrix<float>& values,
                    const Matrix<float>& out) {
  const Index context = part.shape.context, width = part.shape.head_dim, group = part.shape.heads / part.shape.kv_heads;
  Kokkos::parallel_for(
      "switchyard::attention::gather_queries", queue.range(part.count / group * context * width),
      KOKKOS_LAMBDA(Index it) {
        const Index p = it / (context * width) * group, j = it / width % context, c = it % width;
        float sum = 0.0f;
        for (Index h = p; h < p + group; ++h) {
          const float* row = &weights((h * context + j) * context);
          for (Index i = j; i < context; ++i) sum = Kokkos::fma(row[i], part.query(values, h, i)[c], sum);
        }
        out(part.row(p, j), part.head(p) / group * width + c) = sum;
      });
}

/// Probabilities p(j, i) from scores, and p∘(dout·v − Σ dout∘out)·scale.
void score_gradient(const Queue& queue, const Part& part, const AttentionState& state, const Matrix<float>& dout,
                    const Vector<float>& scores, const Vector<float>& gradient) {
  const Index context = part.shape.context, square = context * context;
  const int width = part.shape.head_dim;
  Kokkos::parallel_for(
      "switchyard::attention::score_gradient", queue.range(part.count * square), KOKKOS_LAMBDA(Index it) {
        const Index p = it / square, j = it % square / context, i = it % context;
        if (i < j) return;
        const float* d = part.query(dout, p, i);
        const float probability = fast_exp(scores(it) - state.log_sum(part.head(p), part.row(p, i)));
        const float delta = chain(d, part.query(state.out, p, i), width);
        scores(it) = probability;
        gradient(it) = probability * (chain(d, part.key(state.v, p, j), width) - delta) * part.scale;
      });
}

/// Heads of one part: as many as the score memory holds, whole groups of query heads.
Index heads_of_part(const AttentionShape& shape) {
  const Index group = shape.heads / shape.kv_heads, one = Index{shape.context} * shape.context * group;
  return std::min(shape.sequences * shape.heads, std::max(score_elements / one, Index{1}) * group);
}

Part part_at(const AttentionShape& shape, Index first, Index heads) {
  const float scale = 1.0f / Kokkos::sqrt(static_cast<float>(shape.head_dim));
  return {shape, first, std::min(heads, shape.sequences * shape.heads - first), scale};
}

}  // namespace

Index attention_memory(const AttentionShape& shape, int /*threads*/) {
  return shape.sequences == 0 ? 0 : 2 * heads_of_part(shape) * shape.context * shape.context;
}

void attention_forward(const Queue& queue, const AttentionShape& shape, const AttentionState& state,
                       const Vector<float>& memory) {
  if (shape.sequences == 0) return;
  const Index heads = heads_of_part(shape);
  const Vector<float> scores(memory.data(), heads * shape.context * shape.context);
  for (Index first = 0; first < shape.sequences * shape.heads; first += heads) {
    const Part part = part_at(shape, first, heads);
    score(queue, part, state, scores);
    softmax(queue, part, state, scores);
    gather_keys(queue, part, scores, state.v, state.out);
  }
}

void attention_backward(const Queue& queue, const AttentionShape& shape, const AttentionState& state,
                        const AttentionGradient& gradient, const Vector<float>& memory) {
  if (shape.sequences == 0) return;
  const Index heads = heads_of_part(shape), elements = heads * shape.context * shape.context;
  const Vector<float> scores(memory.data(), elements), score_gradients(memory.data() + elements, elements);
  for (Index first = 0; first < shape.sequences * shape.heads; first += heads) {
    const Part part = part_at(shape, first, heads);
    score(queue, part, state, scores);
    score_gradient(queue, part, state, gradient.out, scores, score_gradients);
    gather_keys(queue, part, score_gradients, state.k, gradient.q);
    gather_queries(queue, part, score_gradients, state.q, gradient.k);
    gather_queries(queue, part, scores, gradient.out, gradient.v);
  }
}

}  // namespace switchyard::model
