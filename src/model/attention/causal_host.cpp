// Attention on the CPU: threads share (sequence, head), a block of query rows at a time against all keys that it may
// see.
#include <algorithm>
#include <utility>

#include "model/attention/causal.hpp"
#include "model/attention/rope.hpp"
#include "tensor/lanes.hpp"
#include "tensor/math.hpp"
#include "tensor/products/floats_host.hpp"
#include "tensor/products/packed_product_host.hpp"

namespace switchyard::model {
namespace {

using Policy = Kokkos::RangePolicy<Device, Kokkos::Schedule<Kokkos::Dynamic>>;
using Token = Kokkos::Experimental::UniqueToken<Device>;

constexpr int block = 36;  // query rows worked together: whole register tiles, scores stay in the second-level cache

/// Rows (T, D) of one (sequence, head) as floats.
struct Slice {
  float* data;
  Index stride;
  float* row(Index t) const { return data + t * stride; }
};

/// One (sequence, head) of a tensor (N, heads*D).
Tensor head_of(const Tensor& m, Index sequence, Index head, const AttentionShape& shape) {
  return m.part(sequence * shape.context, shape.context, head * shape.head_dim, shape.head_dim);
}

/// Where the floats of a head are: where it lies, or in `memory` if it is of another element.
Slice place(const Tensor& head, float* memory) {
  if (head.element == Element::f32) return {head.lines<float>().data, head.stride};
  return {memory, head.width};
}
Slice read(const Tensor& head, float* memory) {
  products::floats_of(head, memory);
  return place(head, memory);
}
void write(const Slice& rows, const Tensor& head) {
  if (head.element != Element::f32) products::store_rounded(rows.data, head, products::Write::replace);
}

void turn(const AttentionShape& shape, const Rotation& by, float sign, const Slice& rows) {
  if (by.cosine.extent(0) == 0) return;
  for (Index t = 0; t < shape.context; ++t)
    turn_head(rows.row(t), &by.cosine(t, 0), &by.sine(t, 0), sign, shape.head_dim / 2);
}

/// Turns a head in its tensor, rounded once.
Slice read_turned(const AttentionShape& shape, const Rotation& by, const Tensor& head, float* memory) {
  const Slice rows = read(head, memory);
  turn(shape, by, 1.0f, rows);
  write(rows, head);
  return read(head, memory);
}

products::ConstBlock rows_of(const Slice& s, Index first) { return {s.row(first), s.stride}; }

/// Memory of one thread. Keys and values of one head stand there in panels, as they are and transposed.
struct Scratch {
  Index floats = 0;                   ///< taken
  Index stride;                       ///< of a row of scores: whole panels of keys
  float *p = nullptr, *ds = nullptr;  ///< (block, stride)
  products::Panels keys_t{}, values_t{}, keys{}, values{}, queries{}, douts{}, dk{}, dv{};
  float *q = nullptr, *out = nullptr, *dq = nullptr, *dout = nullptr, *kv = nullptr;  ///< (T, D) of other elements

  /// Without memory only counts the floats.
  Scratch(const AttentionShape& shape, Element element, bool backward, float* memory)
      : stride(products::panel_floats(1, shape.context)) {
    const Index context = shape.context, width = shape.head_dim;
    const auto take = [&](Index n) {
      return memory ? memory + std::exchange(floats, floats + n) : (floats += n, memory);
    };
    const auto panels = [&](Index depth, Index n) {
      return products::Panels{take(products::panel_floats(depth, n)), depth};
    };
    if (element != Element::f32)
      for (float** rows : {&q, &out, &kv}) *rows = take(context * width);
    if (element != Element::f32 && backward)
      for (float** rows : {&dq, &dout}) *rows = take(context * width);
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

/// One (sequence, head), `log_sums` (T) of it.
void forward_head(const AttentionShape& shape, const Slice& q, const Slice& out, float* log_sums, const Scratch& own) {
  const Index context = shape.context, width = shape.head_dim;
  const float scale = 1.0f / Kokkos::sqrt(static_cast<float>(width));
  for (Index first = 0; first < context; first += block) {
    const Index rows = std::min<Index>(block, context - first), keys = first + rows;
    float sums[block];
    products::packed_product({rows, keys, width}, {q.row(first), q.stride, 1}, own.keys_t, {own.p, own.stride}, false);
    softmax_rows({static_cast<int>(first), static_cast<int>(rows)}, scale, own.p, own.stride, sums, log_sums + first);
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
void forward_group(const AttentionShape& shape, const Rotation& rotation, const AttentionState& state, Index sequence,
                   Index kv, float* memory) {
  const Scratch own(shape, state.q.element, false, memory);
  const Slice k = read_turned(shape, rotation, head_of(state.k, sequence, kv, shape), own.kv);
  products::pack_transposed(shape.context, rows_of(k, 0), own.keys_t);
  products::pack(shape.head_dim, rows_of(read(head_of(state.v, sequence, kv, shape), own.kv), 0), own.values);
  const Index group = shape.heads / shape.kv_heads;
  for (Index h = kv * group; h < (kv + 1) * group; ++h) {
    const Slice q = read_turned(shape, rotation, head_of(state.q, sequence, h, shape), own.q);
    const Tensor out = head_of(state.out, sequence, h, shape);
    forward_head(shape, q, place(out, own.out), &state.log_sum(h, sequence * shape.context), own);
    write(place(out, own.out), out);
  }
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

/// A (sequence, key and value head), and the memory of the thread that works on it.
struct GroupPlace {
  Index sequence, kv;
  float* memory;
};

/// Keys and values of one (sequence, key and value head) in panels, and no gradient of them.
void pack_keys(const AttentionShape& shape, const Tensor& key, const Tensor& value, const Scratch& own) {
  const Index context = shape.context, width = shape.head_dim;
  const Slice k = read(key, own.kv);
  products::pack_transposed(context, rows_of(k, 0), own.keys_t);
  products::pack(width, rows_of(k, 0), own.keys);
  products::pack_transposed(context, rows_of(read(value, own.kv), 0), own.values_t);
  std::fill_n(own.dk.data, products::panel_floats(context, width), 0.0f);
  std::fill_n(own.dv.data, products::panel_floats(context, width), 0.0f);
}

/// Their gradients from panels.
void unpack_gradient(const products::Panels& panels, const Tensor& head, const Scratch& own,
                     const AttentionShape& shape, const Rotation& rotation) {
  const Slice rows = place(head, own.kv);
  products::unpack(head.width, panels, {rows.data, rows.stride});
  turn(shape, rotation, -1.0f, rows);
  write(rows, head);
}

/// All query heads of one (sequence, key and value head), in order: one chain an element of dk and dv.
void backward_group(const AttentionShape& shape, const Rotation& rotation, const AttentionState& state,
                    const AttentionGradient& gradient, const GroupPlace& at) {
  const Scratch own(shape, state.q.element, true, at.memory);
  const auto head = [&](const Tensor& m, Index h) { return head_of(m, at.sequence, h, shape); };
  pack_keys(shape, head(state.k, at.kv), head(state.v, at.kv), own);
  const Index group = shape.heads / shape.kv_heads;
  for (Index h = at.kv * group; h < (at.kv + 1) * group; ++h) {
    const Tensor dq = head(gradient.q, h);
    const Slice rows = place(dq, own.dq);
    backward_head(shape,
                  {read(head(state.q, h), own.q), read(head(state.out, h), own.out), rows,
                   read(head(gradient.out, h), own.dout), &state.log_sum(h, at.sequence * shape.context)},
                  own);
    turn(shape, rotation, -1.0f, rows);
    write(rows, dq);
  }
  unpack_gradient(own.dk, head(gradient.k, at.kv), own, shape, rotation);
  unpack_gradient(own.dv, head(gradient.v, at.kv), own, shape, {});
}

/// Of one thread: whole cache lines.
Index thread_floats(const AttentionShape& shape, Element element, bool backward) {
  return (Scratch(shape, element, backward, nullptr).floats + 15) / 16 * 16;
}

}  // namespace

Index attention_memory(const AttentionShape& shape, Element element, int threads) {
  return shape.sequences == 0 ? 0 : thread_floats(shape, element, true) * threads;
}

void attention_forward(const Queue& queue, const AttentionShape& shape, const Rotation& rotation,
                       const AttentionState& state, const Vector<float>& memory) {
  if (shape.sequences == 0) return;
  const Token token;
  const Index floats = thread_floats(shape, state.q.element, false);
  Kokkos::parallel_for(
      "switchyard::attention::forward",
      Policy(queue.space(), 0, shape.sequences * shape.kv_heads, Kokkos::ChunkSize(1)), KOKKOS_LAMBDA(Index it) {
        tick();
        const int thread = token.acquire();
        forward_group(shape, rotation, state, it / shape.kv_heads, it % shape.kv_heads,
                      memory.data() + thread * floats);
        token.release(thread);
      });
}

void attention_backward(const Queue& queue, const AttentionShape& shape, const Rotation& rotation,
                        const AttentionState& state, const AttentionGradient& gradient, const Vector<float>& memory) {
  if (shape.sequences == 0) return;
  const Token token;
  const Index floats = thread_floats(shape, state.q.element, true);
  Kokkos::parallel_for(
      "switchyard::attention::backward",
      Policy(queue.space(), 0, shape.sequences * shape.kv_heads, Kokkos::ChunkSize(1)), KOKKOS_LAMBDA(Index it) {
        tick();
        const int thread = token.acquire();
        backward_group(shape, rotation, state, gradient,
                       {it / shape.kv_heads, it % shape.kv_heads, memory.data() + thread * floats});
        token.release(thread);
      });
}

}  // namespace switchyard::model
