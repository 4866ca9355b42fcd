// Causal attention of bfloat16 backward on a GPU, without atomics: one kernel takes 64 queries past the keys that they
// see, the next 64 keys past the queries that see them. Both compute the scores again, so that every sum is one
// thread's, in a fixed order.
#pragma once
#include "model/attention/causal_forward_cuda.hpp"

namespace switchyard::model::causal {

/// Σ dout·out of so many queries, four lanes a row; to memory and to `own` in shared memory.
template <int width, int rows>
__device__ void make_delta(const HeadRows<Bf16>& dout, const HeadRows<Bf16>& out, int first, float* delta, float* own) {
  const int lane = threadIdx.x % 4;
  for (int r = threadIdx.x / 4; r < rows; r += blockDim.x / 4) {
    const bool there = first + r < out.end;
    float sum = 0.0f;
    for (int c = lane; c < Tile<width>::chunks && there; c += 4) {
      uint4 x[2];
      for (int i = 0; i < 2; ++i) {
        const HeadRows<Bf16>& from = i ? out : dout;
        x[i] = from.vectors ? *reinterpret_cast<const uint4*>(from.at(first + r, c * 8))
                            : gather_chunk(from, first + r, c * 8);
      }
      const std::uint32_t a[4] = {x[0].x, x[0].y, x[0].z, x[0].w}, b[4] = {x[1].x, x[1].y, x[1].z, x[1].w};
      for (int e = 0; e < 4; ++e) {
        sum = __fmaf_rn(low_bf16(a[e]), low_bf16(b[e]), sum);
        sum = __fmaf_rn(high_bf16(a[e]), high_bf16(b[e]), sum);
      }
    }
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
    if (lane == 0) own[r] = sum;
    if (lane == 0 && there) delta[first + r] = sum;
  }
}

template <int width>
struct QueryTiles {
  uint4* q;
  __device__ uint4* dout() const { return q + Tile<width>::count; }
  __device__ uint4* k(int j) const { return q + (2 + j % 2) * Tile<width>::count; }
  __device__ uint4* v(int j) const { return q + (4 + j % 2) * Tile<width>::count; }
  static constexpr int bytes = 6 * Tile<width>::count * 16;
};

/// Of the two rows of a lane: log_sum in base 2 (∞ past the end, where probabilities are 0) and delta.
struct QueryStatistics {
  float log_sum2[2], delta[2];
  __device__ QueryStatistics(const Problem<Bf16>& p, const Place& at, int first, const float* deltas) {
    const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    for (int r = 0; r < 2; ++r) {
      const int t = first + row + 8 * r;
      log_sum2[r] =
          t < p.shape.context ? p.log_sum[statistic(p, at.sequence, at.head) + t] * log2e : INFINITY;
      delta[r] = deltas[row + 8 * r];
    }
  }
};

/// Scores −∞ or not, and products dout·v → gradients of the scaled scores, exactly 0 where masked.
template <int n>
__device__ void score_gradients(float (&scores)[n][4], const float (&products)[n][4], const QueryStatistics& of,
                                float scale2) {
#pragma unroll
  for (int j = 0; j < n; ++j)
    for (int e = 0; e < 4; ++e) {
      const float p = fast_exp2(__fmaf_rn(scores[j][e], scale2, -of.log_sum2[e / 2]));
      scores[j][e] = scores[j][e] == -INFINITY ? 0.0f : p * (products[j][e] - of.delta[e / 2]);
    }
}

/// dq, and Σ dout·out. Grid: Place of blocks(64) and heads. The longest first.
template <int width>
__global__ void __launch_bounds__(warps_threads, resident<width>) backward_queries(Problem<Bf16> p, Gradients<Bf16> g) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  __shared__ float deltas[block];
  Place at(p.blocks(block), p.shape.heads);
  at.part = p.blocks(block) - 1 - at.part;
  const int first = at.part * block, kv = at.head / p.group(), warp_row = threadIdx.x / 32 * 16;
  const QueryTiles<width> tiles{memory};
  const HeadRows<Bf16> q(p, p.q, at.sequence, at.head), dout(p, g.out, at.sequence, at.head),
      k(p, p.k, at.sequence, kv), v(p, p.v, at.sequence, kv);
  const auto load = [&](int j) {
    load_tile<Tile<width>, warps_threads>(tiles.k(j), k, j * block);
    load_tile<Tile<width>, warps_threads>(tiles.v(j), v, j * block);
  };
  load_tile<Tile<width>, warps_threads>(tiles.q, q, first);
  load_tile<Tile<width>, warps_threads>(tiles.dout(), dout, first);
  load(0);
  close_batch();
  make_delta<width, block>(dout, {p, p.out, at.sequence, at.head}, first,
                    g.delta + statistic(p, at.sequence, at.head), deltas);
  if (threadIdx.x == 0) poisoned = unseen;
  __syncthreads();
  const QueryStatistics of(p, at, first, deltas);
  Sums<width> sums;
  clear(sums);
  for (int j = 0; j <= at.part; ++j) {
    if (j < at.part) load(j + 1);
    close_batch();
    await_batches<1>();
    if (j == 0) turn_own<Tile<width>, warps_threads>(tiles.q, q, first);
    turn_own<Tile<width>, warps_threads>(tiles.k(j), k, j * block);
    if (j == at.part) guard_own<Tile<width>, warps_threads>(tiles.k(j), [&](int r) { atomicMin(&poisoned, j * block + r); });
    __syncthreads();
    Sums<block> scores, products;
    multiply_rows(scores, by_depth<width>(tiles.q, warp_row), by_columns<width>(tiles.k(j)));
    multiply_rows(products, by_depth<width>(tiles.dout(), warp_row), by_columns<width>(tiles.v(j)));
    if (j == at.part) mask_future(scores);
    score_gradients(scores, products, of, p.scale * log2e);
    add_weighted(sums, scores, by_depth<width>(tiles.k(j)));
    __syncthreads();
  }
  const int row = first + warp_row + threadIdx.x % 32 / 4;
  const float2 factor = {row >= poisoned ? NAN : p.scale, row + 8 >= poisoned ? NAN : p.scale};
  auto* staging = reinterpret_cast<float*>(memory);
  stage<width>(staging, sums, factor, warp_row, 0);
  __syncthreads();
  write_tile<width>(staging, {p, g.q, at.sequence, at.head}, first);
}

template <int width>
struct KeyTiles {
  uint4* k;
  __device__ uint4* v() const { return k + Tile<width>::count; }
  __device__ uint4* q(int it) const { return k + (2 + it % 2) * Tile<width>::count; }
  __device__ uint4* dout(int it) const { return k + (4 + it % 2) * Tile<width>::count; }
  /// log_sum of 64 queries, then their delta.
  __device__ float* statistics(int it) const {
    return reinterpret_cast<float*>(k + 6 * Tile<width>::count) + it % 2 * 2 * block;
  }
  static constexpr int bytes = (6 * Tile<width>::count + block) * 16;
};

/// Key rows, query columns: scores → probabilities.
template <int n>
__device__ void key_probabilities(float (&scores)[n][4], const float* log_sum, float scale2) {
  const float* own = log_sum + threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < n; ++j) {
    const float2 shift = *reinterpret_cast<const float2*>(own + j * 8);
    for (int e = 0; e < 4; ++e)
      scores[j][e] = fast_exp2(__fmaf_rn(scores[j][e], scale2, -(e % 2 ? shift.y : shift.x) * log2e));
  }
}

/// Products dout·v → gradients of the scaled scores.
template <int n>
__device__ void key_gradients(float (&products)[n][4], const float (&probabilities)[n][4], const float* delta) {
  const float* own = delta + threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < n; ++j) {
    const float2 mean = *reinterpret_cast<const float2*>(own + j * 8);
    for (int e = 0; e < 4; ++e) products[j][e] = probabilities[j][e] * (products[j][e] - (e % 2 ? mean.y : mean.x));
  }
}

/// Exactly 0 where the query, `ahead` of the key of the same number, is before the key.
template <int n>
__device__ void mask_past(float (&values)[n][4], int ahead) {
  const int row = threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2 + ahead;
#pragma unroll
  for (int j = 0; j < n; ++j)
    for (int e = 0; e < 4; ++e)
      if (column + j * 8 + e % 2 < row + e / 2 * 8) values[j][e] = 0.0f;
}

/// Begins to load log_sum of 64 queries of a head, then their delta; 0 past the end, where q and dout are too.
__device__ inline void load_statistics(float* to, const Problem<Bf16>& p, const float* delta, Index sequence, int head,
                                       int first) {
  if (threadIdx.x >= 2 * block) return;
  const int r = threadIdx.x % block;
  const bool there = first + r < p.shape.context;
  const Index row = statistic(p, sequence, head) + (there ? first + r : 0);
  copy_async_float(to + threadIdx.x, (threadIdx.x < block ? p.log_sum : delta) + row, there);
}

/// Wide heads are shared by two sets of four warps, half of the channels each, since the sums of one would not fit its
/// registers.
template <int width>
constexpr int key_sets = width > 128 ? 2 : 1;

/// dk and dv of a key head: its query heads in order, and the queries of each in order. Grid: Place of blocks(64) and
/// kv_heads. The longest first.
template <int width>
__global__ void __launch_bounds__(warps_threads* key_sets<width>, resident<width>) backward_keys(Problem<Bf16> p, Gradients<Bf16> g) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;  // keys up to here belong to masked queries that are not finite
  constexpr int own = width / key_sets<width>, threads = warps_threads * key_sets<width>;
  const Place at(p.blocks(block), p.shape.kv_heads);
  const int first = at.part * block, warp_row = threadIdx.x / 32 % 4 * 16, channel = threadIdx.x / warps_threads * own;
  const int each = p.blocks(block) - at.part, count = each * p.group();
  const KeyTiles<width> tiles{memory};
  const HeadRows<Bf16> k(p, p.k, at.sequence, at.head), v(p, p.v, at.sequence, at.head);
  const auto rows_of = [&](const Strided<Bf16>& of, int it) {
    return HeadRows<Bf16>(p, of, at.sequence, at.head * p.group() + it / each);
  };
  const auto load = [&](int it) {
    const int from = (at.part + it % each) * block;
    load_tile<Tile<width>, threads>(tiles.q(it), rows_of(p.q, it), from);
    load_tile<Tile<width>, threads>(tiles.dout(it), rows_of(g.out, it), from);
    load_statistics(tiles.statistics(it), p, g.delta, at.sequence, at.head * p.group() + it / each, from);
  };
  load_tile<Tile<width>, threads>(tiles.k, k, first);
  load_tile<Tile<width>, threads>(tiles.v(), v, first);
  load(0);
  close_batch();
  if (threadIdx.x == 0) poisoned = -1;
  __syncthreads();
  Sums<own> dk, dv;
  clear(dk), clear(dv);
  for (int it = 0; it < count; ++it) {
    if (it + 1 < count) load(it + 1);
    close_batch();
    await_batches<1>();
    const int from = (at.part + it % each) * block;
    const bool diagonal = from == first;
    if (it == 0) turn_own<Tile<width>, threads>(tiles.k, k, first);
    turn_own<Tile<width>, threads>(tiles.q(it), rows_of(p.q, it), from);
    const auto poison = [&](int r) { atomicMax(&poisoned, from + r); };
    if (diagonal) guard_own<Tile<width>, threads>(tiles.q(it), poison), guard_own<Tile<width>, threads>(tiles.dout(it), poison);
    __syncthreads();
    Sums<block> scores, products;
    multiply_rows(scores, by_depth<width>(tiles.k, warp_row), by_columns<width>(tiles.q(it)));
    multiply_rows(products, by_depth<width>(tiles.v(), warp_row), by_columns<width>(tiles.dout(it)));
    key_probabilities(scores, tiles.statistics(it), p.scale * log2e);
    key_gradients(products, scores, tiles.statistics(it) + block);
    if (diagonal) mask_past(scores, 0), mask_past(products, 0);
    add_weighted(dv, scores, by_depth<width>(tiles.dout(it)), channel / 16);
    add_weighted(dk, products, by_depth<width>(tiles.q(it)), channel / 16);
    __syncthreads();
  }
  const int row = first + warp_row + threadIdx.x % 32 / 4;
  const float low = row <= poisoned ? NAN : 1.0f, high = row + 8 <= poisoned ? NAN : 1.0f;
  auto* staging = reinterpret_cast<float*>(memory);
  stage<width>(staging, dv, {low, high}, warp_row, channel);
  __syncthreads();
  write_tile<width>(staging, {p, g.v, at.sequence, at.head}, first);
  __syncthreads();
  stage<width>(staging, dk, {low * p.scale, high * p.scale}, warp_row, channel);
  __syncthreads();
  write_tile<width>(staging, {p, g.k, at.sequence, at.head}, first);
}

}  // namespace switchyard::model::causal
