// Attention on the CPU: threads share (sequence, head), a block of query rows at a time against all keys that it may
// see.
#include <algorithm>

#include "model/attention.hpp"
#include "tensor/lanes.hpp"
#include "tensor/math.hpp"
#include "tensor/small_product_host.hpp"

namespace switchyard::model {
namespace {

using blas::Write;
using Policy = Kokkos::RangePolicy<Host, Kokkos::Schedule<Kokkos::Dynamic>>;
using Token = Kokkos::Experimental::UniqueToken<Host>;

constexpr int block = 32;  // query rows of one product; scores of a block stay in the second-level cache

/// Where the head of one (sequence, head) lies in a (N, width) matrix.
struct Slice {
  float* data;
  Index stride;
  float* row(Index t) const { return data + t * stride; }
};

Slice slice(const Matrix<float>& m, Index sequence, Index head, const AttentionShape& shape) {
  const Index width = m.extent(1);
  return {m.data() + sequence * shape.context * width + head * shape.head_dim, width};
}

/// to(D, T) = from(T, D)ᵀ.
void transpose(const Slice& from, const AttentionShape& shape, float* to) {
  for (int first = 0; first < shape.context; first += block) {
    const int last = std::min(first + block, shape.context);
    for (int c = 0; c < shape.head_dim; ++c)
      for (int t = first; t < last; ++t) to[Index{c} * shape.context + t] = from.row(t)[c];
  }
}

/// Scores of `rows` queries against `keys` keys → exponentials, 0 for keys behind a query; row sums and log-sums.
void softmax_rows(float* scores, Index stride, int rows, int keys, float scale, float* sums, float* log_sums) {
  for (int i = 0; i < rows; ++i) {
    float* p = scores + i * stride;
    const int seen = keys - rows + i + 1;
    const float shift = lane_max(seen, [=](int j) { return p[j]; }) * scale;
    sums[i] = lane_sum(seen, [=](int j) { return p[j] = fast_exp(Kokkos::fma(p[j], scale, -shift)); });
    std::fill(p + seen, p + keys, 0.0f);
    log_sums[i] = shift + fast_log(sums[i]);
  }
}

void forward_head(const AttentionShape& shape, const AttentionState& state, Index sequence, Index head,
                  float* scratch) {
  const Index kv = head / (shape.heads / shape.kv_heads);
  const Slice q = slice(state.q, sequence, head, shape), out = slice(state.out, sequence, head, shape);
  const Slice k = slice(state.k, sequence, kv, shape), v = slice(state.v, sequence, kv, shape);
  const int context = shape.context, width = shape.head_dim;
  const float scale = 1.0f / Kokkos::sqrt(static_cast<float>(width));
  float *keys_t = scratch, *scores = keys_t + Index{width} * context;
  transpose(k, shape, keys_t);
  for (int first = 0; first < context; first += block) {
    const int rows = std::min(block, context - first), keys = first + rows;
    float sums[block];
    blas::product_nn({rows, keys, width}, {q.row(first), q.stride}, {keys_t, context}, {scores, context});
    softmax_rows(scores, context, rows, keys, scale, sums, &state.log_sum(head, sequence * context + first));
    blas::product_nn({rows, width, keys}, {scores, context}, {v.data, v.stride}, {out.row(first), out.stride});
    for (int i = 0; i < rows; ++i) {
      const float inverse = 1.0f / sums[i];
      float* row = out.row(first + i);
      for (int c = 0; c < width; ++c) row[c] *= inverse;
    }
  }
}

/// Scores → probabilities p, and p∘(dp − Σ dout∘out)·scale in place of dp.
void score_gradient(const float* log_sums, const Slice& out, const Slice& dout, int first, int rows, int width,
                    float* scores, float* dp, Index stride) {
  const float scale = 1.0f / Kokkos::sqrt(static_cast<float>(width));
  for (int i = 0; i < rows; ++i) {
    float *p = scores + i * stride, *d = dp + i * stride;
    const int seen = first + i + 1, keys = first + rows;
    const float delta = lane_dot(out.row(first + i), dout.row(first + i), width), shift = log_sums[i];
    for (int j = 0; j < seen; ++j) {
      p[j] = fast_exp(Kokkos::fma(p[j], scale, -shift));
      d[j] = p[j] * (d[j] - delta) * scale;
    }
    std::fill(p + seen, p + keys, 0.0f);
    std::fill(d + seen, d + keys, 0.0f);
  }
}

struct HeadPointers {
  Slice q, out, dq, dout;
  const float* log_sums;
};

void backward_head(const AttentionShape& shape, const HeadPointers& head, const Slice& k, const Slice& dk,
                   const Slice& dv, float* scratch) {
  const int context = shape.context, width = shape.head_dim;
  float *keys_t = scratch, *values_t = keys_t + Index{width} * context;
  float *p = values_t + Index{width} * context, *ds = p + Index{block} * context;
  for (int first = 0; first < context; first += block) {
    const int rows = std::min(block, context - first), keys = first + rows;
    const blas::ConstBlock q{head.q.row(first), head.q.stride}, dout{head.dout.row(first), head.dout.stride};
    blas::product_nn({rows, keys, width}, q, {keys_t, context}, {p, context});
    blas::product_nn({rows, keys, width}, dout, {values_t, context}, {ds, context});
    score_gradient(head.log_sums + first, head.out, head.dout, first, rows, width, p, ds, context);
    blas::product_nn({rows, width, keys}, {ds, context}, {k.data, k.stride}, {head.dq.row(first), head.dq.stride});
    blas::product_tn({keys, width, rows}, {ds, context}, q, {dk.data, dk.stride}, Write::add);
    blas::product_tn({keys, width, rows}, {p, context}, dout, {dv.data, dv.stride}, Write::add);
  }
}

/// All query heads of one (sequence, key and value head), in order: the owner of dk and dv.
void backward_group(const AttentionShape& shape, const AttentionState& state, const AttentionGradient& gradient,
                    Index sequence, Index kv, float* scratch) {
  const Slice k = slice(state.k, sequence, kv, shape), v = slice(state.v, sequence, kv, shape);
  const Slice dk = slice(gradient.k, sequence, kv, shape), dv = slice(gradient.v, sequence, kv, shape);
  transpose(k, shape, scratch);
  transpose(v, shape, scratch + Index{shape.head_dim} * shape.context);
  for (int t = 0; t < shape.context; ++t) {
    std::fill_n(dk.row(t), shape.head_dim, 0.0f);
    std::fill_n(dv.row(t), shape.head_dim, 0.0f);
  }
  const Index group = shape.heads / shape.kv_heads;
  for (Index h = kv * group; h < (kv + 1) * group; ++h)
    backward_head(shape,
                  {slice(state.q, sequence, h, shape), slice(state.out, sequence, h, shape),
                   slice(gradient.q, sequence, h, shape), slice(gradient.out, sequence, h, shape),
                   &state.log_sum(h, sequence * shape.context)},
                  k, dk, dv, scratch);
}

/// One row a thread.
HostMatrix<float> scratch_memory(Index threads, Index n) {
  return make_view<HostMatrix<float>>("model::attention::scratch", threads, (n + 15) / 16 * 16);
}

}  // namespace

void attention_forward(const AttentionShape& shape, const AttentionState& state) {
  if (shape.sequences == 0) return;
  const Token token;
  const auto scratch = scratch_memory(token.size(), Index{shape.context} * (shape.head_dim + block));
  Kokkos::parallel_for(
      "switchyard::attention::forward", Policy(0, shape.sequences * shape.heads, Kokkos::ChunkSize(1)),
      KOKKOS_LAMBDA(Index it) {
        const int thread = token.acquire();
        forward_head(shape, state, it / shape.heads, it % shape.heads, &scratch(thread, 0));
        token.release(thread);
      });
}

void attention_backward(const AttentionShape& shape, const AttentionState& state, const AttentionGradient& gradient) {
  if (shape.sequences == 0) return;
  const Token token;
  const auto scratch = scratch_memory(token.size(), 2 * Index{shape.context} * (shape.head_dim + block));
  Kokkos::parallel_for(
      "switchyard::attention::backward", Policy(0, shape.sequences * shape.kv_heads, Kokkos::ChunkSize(1)),
      KOKKOS_LAMBDA(Index it) {
        const int thread = token.acquire();
        backward_group(shape, state, gradient, it / shape.kv_heads, it % shape.kv_heads, &scratch(thread, 0));
        token.release(thread);
      });
}

}  // namespace switchyard::model
