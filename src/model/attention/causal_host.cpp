// Attention on the CPU: threads share (sequence, head), a block of query rows at a time against all keys that it may
// see.
#include <algorithm>
#include <utility>

#include "model/attention/causal.hpp"
#include "tensor/lanes.hpp"
#include "tensor/math.hpp"
#include "tensor/products/packed_product_host.hpp"

namespace switchyard::model {
namespace {

using Policy = Kokkos::RangePolicy<Device, Kokkos::Schedule<Kokkos::Dynamic>>;
using Token = Kokkos::Experimental::UniqueToken<Device>;

constexpr int block = 36;  // query rows worked together: whole register tiles, scores stay in the second-level cache

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

products::ConstBlock rows_of(const Slice& s, Index first) { return {s.row(first), s.stride}; }

/// Memory of one thread. Keys and values of one head stand there in panels, as they are and transposed.
struct Scratch {
  Index floats = 0;                   ///< taken
  Index stride;                       ///< of a row of scores: whole panels of keys
  float *p = nullptr, *ds = nullptr;  ///< (block, stride)
  products::Panels keys_t{}, values_t{}, keys{}, values{}, queries{}, douts{}, dk{}, dv{};

  /// Without memory only counts the floats.
  Scratch(const AttentionShape& shape, bool backward, float* memory)
      : stride(products::panel_floats(1, shape.context)) {
    const Index context = shape.context, width = shape.head_dim;
    const auto take = [&](Index n) {
      return memory ? memory + std::exchange(floats, floats + n) : (floats += n, memory);
    };
    const auto panels = [&](Index depth, Index n) {
      return products::Panels{take(products::panel_floats(depth, n)), depth};
    };
    p = take(block * stride);
    keys_t = panels(width, context);
    if (!backward) {
      values = panels(context, width);
      return;
    }
    ds = take(block * stride);
    values_t = panels(width, context), keys = panels(context, width);
    queries = panels(block, width), douts = panels(block, width);
    dk = panels(context, width), dv = panels(context, width);
  }
};

/// Queries [first, first + rows) of a sequence, which see keys [0, keys()).
struct Queries {
  int first, rows;
  int keys() const { return first + rows; }
};

/// Scores → exponentials, 0 for keys after a query; row sums and log-sums.
void softmax_rows(const Queries& queries, float scale, float* scores, Index stride, float* sums, float* log_sums) {
  for (int i = 0; i < queries.rows; ++i) {
    float* p = scores + i * stride;
    const int seen = queries.first + i + 1;
    const float shift = lane_max(seen, [=](int j) { return p[j]; }) * scale;
    sums[i] = lane_sum(seen, [=](int j) { return p[j] = fast_exp(Kokkos::fma(p[j], scale, -shift)); });
    std::fill(p + seen, p + queries.keys(), 0.0f);
    log_sums[i] = shift + fast_log(sums[i]);
  }
}

void forward_head(const AttentionShape& shape, const AttentionState& state, Index sequence, Index head,
                  const Scratch& own) {
  const Slice q = slice(state.q, sequence, head, shape), out = slice(state.out, sequence, head, shape);
  const Index context = shape.context, width = shape.head_dim;
  const float scale = 1.0f / Kokkos::sqrt(static_cast<float>(width));
  for (Index first = 0; first < context; first += block) {
    const Index rows = std::min<Index>(block, context - first), keys = first + rows;
    float sums[block];
    products::packed_product({rows, keys, width}, {q.row(first), q.stride, 1}, own.keys_t, {own.p, own.stride}, false);
    softmax_rows({static_cast<int>(first), static_cast<int>(rows)}, scale, own.p, own.stride, sums,
                 &state.log_sum(head, sequence * context + first));
    products::packed_product({rows, width, keys}, {own.p, own.stride, 1}, own.values, {out.row(first), out.stride},
                             true);
    for (Index i = 0; i < rows; ++i) {
      const float inverse = 1.0f / sums[i];
      float* row = out.row(first + i);
      for (Index c = 0; c < width; ++c) row[c] *= inverse;
    }
  }
}

/// All query heads of one (sequence, key and value head).
void forward_group(const AttentionShape& shape, const AttentionState& state, Index sequence, Index kv, float* memory) {
  const Scratch own(shape, false, memory);
  products::pack_transposed(shape.context, rows_of(slice(state.k, sequence, kv, shape), 0), own.keys_t);
  products::pack(shape.head_dim, rows_of(slice(state.v, sequence, kv, shape), 0), own.values);
  const Index group = shape.heads / shape.kv_heads;
  for (Index h = kv * group; h < (kv + 1) * group; ++h) forward_head(shape, state, sequence, h, own);
}

struct HeadPointers {
  Slice q, out, dq, dout;
  const float* log_sums;
};

/// Scores own.p → probabilities p, and dp own.ds → p∘(dp − Σ dout∘out)·scale.
void score_gradient(const Queries& queries, const HeadPointers& head, int width, const Scratch& own) {
  const float scale = 1.0f / Kokkos::sqrt(static_cast<float>(width));
  for (int i = 0; i < queries.rows; ++i) {
    float *p = own.p + i * own.stride, *d = own.ds + i * own.stride;
    const int row = queries.first + i, seen = row + 1, keys = queries.keys();
    const float delta = lane_dot(head.out.row(row), head.dout.row(row), width), shift = head.log_sums[row];
    for (int j = 0; j < seen; ++j) {
      p[j] = fast_exp(Kokkos::fma(p[j], scale, -shift));
      d[j] = p[j] * (d[j] - delta) * scale;
    }
    std::fill(p + seen, p + keys, 0.0f);
    std::fill(d + seen, d + keys, 0.0f);
  }
}

void backward_head(const AttentionShape& shape, const HeadPointers& head, const Scratch& own) {
  const Index context = shape.context, width = shape.head_dim;
  for (Index first = 0; first < context; first += block) {
    const Index rows = std::min<Index>(block, context - first), keys = first + rows;
    const products::Size scores{rows, keys, width};
    products::packed_product(scores, {head.q.row(first), head.q.stride, 1}, own.keys_t, {own.p, own.stride}, false);
    products::packed_product(scores, {head.dout.row(first), head.dout.stride, 1}, own.values_t, {own.ds, own.stride},
                             false);
    score_gradient({static_cast<int>(first), static_cast<int>(rows)}, head, static_cast<int>(width), own);
    products::packed_product({rows, width, keys}, {own.ds, own.stride, 1}, own.keys,
                             {head.dq.row(first), head.dq.stride}, true);
    const products::Panels queries{own.queries.data, rows}, douts{own.douts.data, rows};
    products::pack(width, rows_of(head.q, first), queries);
    products::pack(width, rows_of(head.dout, first), douts);
    products::packed_chain({keys, width, rows}, {own.ds, 1, own.stride}, queries, own.dk);
    products::packed_chain({keys, width, rows}, {own.p, 1, own.stride}, douts, own.dv);
  }
}

/// All query heads of one (sequence, key and value head), in order: one chain an element of dk and dv.
void backward_group(const AttentionShape& shape, const AttentionState& state, const AttentionGradient& gradient,
                    Index sequence, Index kv, float* memory) {
  const Scratch own(shape, true, memory);
  const Slice k = slice(state.k, sequence, kv, shape), v = slice(state.v, sequence, kv, shape);
  const Slice dk = slice(gradient.k, sequence, kv, shape), dv = slice(gradient.v, sequence, kv, shape);
  const Index context = shape.context, width = shape.head_dim, group = shape.heads / shape.kv_heads;
  products::pack_transposed(context, rows_of(k, 0), own.keys_t);
  products::pack_transposed(context, rows_of(v, 0), own.values_t);
  products::pack(width, rows_of(k, 0), own.keys);
  std::fill_n(own.dk.data, products::panel_floats(context, width), 0.0f);
  std::fill_n(own.dv.data, products::panel_floats(context, width), 0.0f);
  for (Index h = kv * group; h < (kv + 1) * group; ++h)
    backward_head(shape,
                  {slice(state.q, sequence, h, shape), slice(state.out, sequence, h, shape),
                   slice(gradient.q, sequence, h, shape), slice(gradient.out, sequence, h, shape),
                   &state.log_sum(h, sequence * context)},
                  own);
  products::unpack(width, own.dk, {dk.data, dk.stride});
  products::unpack(width, own.dv, {dv.data, dv.stride});
}

/// Of one thread: whole cache lines.
Index thread_floats(const AttentionShape& shape, bool backward) {
  return (Scratch(shape, backward, nullptr).floats + 15) / 16 * 16;
}

}  // namespace

Index attention_memory(const AttentionShape& shape, int threads) {
  return shape.sequences == 0 ? 0 : thread_floats(shape, true) * threads;
}

void attention_forward(const Queue& queue, const AttentionShape& shape, const AttentionState& state,
                       const Vector<float>& memory) {
  if (shape.sequences == 0) return;
  const Token token;
  const Index floats = thread_floats(shape, false);
  Kokkos::parallel_for(
      "switchyard::attention::forward",
      Policy(queue.space(), 0, shape.sequences * shape.kv_heads, Kokkos::ChunkSize(1)), KOKKOS_LAMBDA(Index it) {
        tick();
        const int thread = token.acquire();
        forward_group(shape, state, it / shape.kv_heads, it % shape.kv_heads, memory.data() + thread * floats);
        token.release(thread);
      });
}

void attention_backward(const Queue& queue, const AttentionShape& shape, const AttentionState& state,
                        const AttentionGradient& gradient, const Vector<float>& memory) {
  if (shape.sequences == 0) return;
  const Token token;
  const Index floats = thread_floats(shape, true);
  Kokkos::parallel_for(
      "switchyard::attention::backward",
      Policy(queue.space(), 0, shape.sequences * shape.kv_heads, Kokkos::ChunkSize(1)), KOKKOS_LAMBDA(Index it) {
        tick();
        const int thread = token.acquire();
        backward_group(shape, state, gradient, it / shape.kv_heads, it % shape.kv_heads,
                       memory.data() + thread * floats);
        token.release(thread);
      });
}

}  // namespace switchyard::model
