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

/// Of the two rows of a lane: log_sum in base 2 (∞ past the end, where probabilities are 0) and delta.
struct QueryStatistics {
  float log_sum2[2], delta[2];
  __device__ QueryStatistics(const Problem<Bf16>& p, const Place& at, int first, const float* deltas) {
    const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    for (int r = 0; r < 2; ++r) {
      const int t = first + row + 8 * r;
      log_sum2[r] = t < p.shape.context ? p.log_sum[statistic(p, at.sequence, at.head) + t] * log2e : INFINITY;
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

/// Writes sums of queries from `first` on as dq; those from `poisoned` on saw a key that is not finite.
template <int width, int rows>
__device__ void finish_queries(const Problem<Bf16>& p, const HeadRows<Bf16>& dq, int first, const Sums<width>& sums,
                               float* memory, int poisoned) {
  const int warp_row = threadIdx.x / 32 * 16, row = first + warp_row + threadIdx.x % 32 / 4;
  const float2 factor = {row >= poisoned ? NAN : p.scale, row + 8 >= poisoned ? NAN : p.scale};
  stage<width>(memory, sums, factor, warp_row, 0);
  __syncthreads();
  write_tile<width, rows>(memory, dq, first);
}

/// What a thread block of backward_queries works at, and its tiles: q, dout, and k and v of two blocks of keys.
template <int width>
struct BackwardQueries {
  using Keys = Tile<width>;
  static constexpr int bytes = 6 * Keys::count * 16;
  Place at;
  HeadRows<Bf16> q, dout, k, v;
  uint4* tiles;

  __device__ BackwardQueries(const Problem<Bf16>& p, const Gradients<Bf16>& g, uint4* memory)
      : at(Place::from_last(p.blocks(block), p.shape.heads)),
        q(p, p.q, at.sequence, at.head),
        dout(p, g.out, at.sequence, at.head),
        k(p, p.k, at.sequence, at.head / p.group()),
        v(p, p.v, at.sequence, at.head / p.group()),
        tiles(memory) {}
  __device__ uint4* douts() const { return tiles + Keys::count; }
  __device__ uint4* keys(int j) const { return tiles + (2 + j % 2) * Keys::count; }
  __device__ uint4* values(int j) const { return tiles + (4 + j % 2) * Keys::count; }
  __device__ void load(int j) const {
    load_tile<Keys, warps_threads>(keys(j), k, j * block);
    load_tile<Keys, warps_threads>(values(j), v, j * block);
  }
  /// Block j of keys is there once all threads have passed a barrier; the next one is on its way.
  __device__ void advance(int j, int* poisoned) const {
    if (j < at.part) load(j + 1);
    close_batch();
    await_batches<1>();
    if (j == 0) turn_own<Keys, warps_threads>(tiles, q, at.part * block);
    turn_own<Keys, warps_threads>(keys(j), k, j * block);
    if (j < at.part) return;
    guard_own<Keys, warps_threads>(keys(j), [&](int r) { atomicMin(poisoned, j * block + r); });
  }
};

/// dq, and Σ dout·out. Grid: Place of blocks(64) and heads.
template <int width>
__global__ void __launch_bounds__(warps_threads, resident<width>) backward_queries(Problem<Bf16> p, Gradients<Bf16> g) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  __shared__ float deltas[block];
  const BackwardQueries<width> of(p, g, memory);
  const int first = of.at.part * block, warp_row = threadIdx.x / 32 * 16;
  gpu::await_before();
  gpu::let_next_come();
  load_tile<Tile<width>, warps_threads>(of.tiles, of.q, first);
  load_tile<Tile<width>, warps_threads>(of.douts(), of.dout, first);
  of.load(0);
  close_batch();
  make_delta<width, block>(of.dout, {p, p.out, of.at.sequence, of.at.head}, first,
                           g.delta + statistic(p, of.at.sequence, of.at.head), deltas);
  if (threadIdx.x == 0) poisoned = unseen;
  __syncthreads();
  const QueryStatistics rows(p, of.at, first, deltas);
  Sums<width> sums;
  clear(sums);
  for (int j = 0; j <= of.at.part; ++j) {
    of.advance(j, &poisoned);
    __syncthreads();
    Sums<block> scores, products;
    multiply_rows(scores, by_depth<width>(of.tiles, warp_row), by_columns<width>(of.keys(j)));
    multiply_rows(products, by_depth<width>(of.douts(), warp_row), by_columns<width>(of.values(j)));
    if (j == of.at.part) mask_future(scores);
    score_gradients(scores, products, rows, p.scale * log2e);
    add_weighted(sums, scores, by_depth<width>(of.keys(j)));
    __syncthreads();
  }
  finish_queries<width, block>(p, {p, g.q, of.at.sequence, of.at.head}, first, sums, reinterpret_cast<float*>(memory),
                               poisoned);
}

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

/// What a thread block of the kernels of keys works at: `rows` keys of a key head, and the blocks of queries that see
/// them, of one query head after another.
struct KeyWork {
  Place at;
  int first, each, count;  // key, blocks of queries of a head, of all heads

  __device__ KeyWork(const Problem<Bf16>& p, int rows)
      : at(p.blocks(rows), p.shape.kv_heads),
        first(at.part * rows),
        each(p.blocks(block) - first / block),
        count(each * p.group()) {}
  __device__ int head(const Problem<Bf16>& p, int it) const { return at.head * p.group() + it / each; }
  __device__ int query(int it) const { return first + it % each * block; }
};

/// Writes sums of keys as dk and dv; keys up to `poisoned` belong to masked queries that are not finite.
template <int width, int rows, int n>
__device__ void finish_keys(const Problem<Bf16>& p, const Gradients<Bf16>& g, const KeyWork& of,
                            const float (&dk)[n][4], const float (&dv)[n][4], float* memory, int poisoned) {
  const int warp_row = threadIdx.x / 32 * 16 % rows, row = of.first + warp_row + threadIdx.x % 32 / 4,
            channel = threadIdx.x / (2 * rows) * n * 8;
  const float low = row <= poisoned ? NAN : 1.0f, high = row + 8 <= poisoned ? NAN : 1.0f;
  stage<width>(memory, dv, {low, high}, warp_row, channel);
  __syncthreads();
  write_tile<width, rows>(memory, {p, g.v, of.at.sequence, of.at.head}, of.first);
  __syncthreads();
  stage<width>(memory, dk, {low * p.scale, high * p.scale}, warp_row, channel);
  __syncthreads();
  write_tile<width, rows>(memory, {p, g.k, of.at.sequence, of.at.head}, of.first);
}

/// The tiles of backward_keys: k, v, and q, dout and statistics of two blocks of queries.
template <int width>
struct BackwardKeys : KeyWork {
  using Rows = Tile<width>;
  static constexpr int threads = warps_threads * key_sets<width>, bytes = (6 * Rows::count + block) * 16;
  const Problem<Bf16>& p;
  const Gradients<Bf16>& g;
  uint4* tiles;

  __device__ BackwardKeys(const Problem<Bf16>& problem, const Gradients<Bf16>& gradients, uint4* memory)
      : KeyWork(problem, block), p(problem), g(gradients), tiles(memory) {}
  __device__ uint4* values() const { return tiles + Rows::count; }
  __device__ uint4* queries(int it) const { return tiles + (2 + it % 2) * Rows::count; }
  __device__ uint4* douts(int it) const { return tiles + (4 + it % 2) * Rows::count; }
  /// log_sum of 64 queries, then their delta.
  __device__ float* statistics(int it) const {
    return reinterpret_cast<float*>(tiles + 6 * Rows::count) + it % 2 * 2 * block;
  }
  __device__ void load(int it) const {
    load_tile<Rows, threads>(queries(it), {p, p.q, at.sequence, head(p, it)}, query(it));
    load_tile<Rows, threads>(douts(it), {p, g.out, at.sequence, head(p, it)}, query(it));
    load_statistics(statistics(it), p, g.delta, at.sequence, head(p, it), query(it));
  }
  /// Block `it` of queries is there once all threads have passed a barrier; the next one is on its way.
  __device__ void advance(int it, int* poisoned) const {
    if (it + 1 < count) load(it + 1);
    close_batch();
    await_batches<1>();
    if (it == 0) turn_own<Rows, threads>(tiles, {p, p.k, at.sequence, at.head}, first);
    turn_own<Rows, threads>(queries(it), {p, p.q, at.sequence, head(p, it)}, query(it));
    if (query(it) != first) return;
    guard_own<Rows, threads>(queries(it), [&](int r) { atomicMax(poisoned, first + r); });
    guard_own<Rows, threads>(douts(it), [&](int r) { atomicMax(poisoned, first + r); });
  }
};

/// dk and dv of a key head: its query heads in order, and the queries of each in order. Grid: Place of blocks(64) and
/// kv_heads.
template <int width>
__global__ void __launch_bounds__(BackwardKeys<width>::threads, resident<width>)
    backward_keys(Problem<Bf16> p, Gradients<Bf16> g) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  constexpr int own = width / key_sets<width>, threads = BackwardKeys<width>::threads;
  const int warp_row = threadIdx.x / 32 % 4 * 16, channel = threadIdx.x / warps_threads * own;
  const BackwardKeys<width> of(p, g, memory);
  gpu::await_before();
  gpu::let_next_come();
  load_tile<Tile<width>, threads>(of.tiles, {p, p.k, of.at.sequence, of.at.head}, of.first);
  load_tile<Tile<width>, threads>(of.values(), {p, p.v, of.at.sequence, of.at.head}, of.first);
  of.load(0);
  close_batch();
  if (threadIdx.x == 0) poisoned = -1;
  __syncthreads();
  Sums<own> dk, dv;
  clear(dk), clear(dv);
  for (int it = 0; it < of.count; ++it) {
    of.advance(it, &poisoned);
    __syncthreads();
    Sums<block> scores, products;
    multiply_rows(scores, by_depth<width>(of.tiles, warp_row), by_columns<width>(of.queries(it)));
    multiply_rows(products, by_depth<width>(of.values(), warp_row), by_columns<width>(of.douts(it)));
    key_probabilities(scores, of.statistics(it), p.scale * log2e);
    key_gradients(products, scores, of.statistics(it) + block);
    if (of.query(it) == of.first) mask_past(scores, 0), mask_past(products, 0);
    add_weighted(dv, scores, by_depth<width>(of.douts(it)), channel / 16);
    add_weighted(dk, products, by_depth<width>(of.queries(it)), channel / 16);
    __syncthreads();
  }
  finish_keys<width, block>(p, g, of, dk, dv, reinterpret_cast<float*>(memory), poisoned);
}

}  // namespace switchyard::model::causal
