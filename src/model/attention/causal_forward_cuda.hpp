// Causal attention of bfloat16 forward on a GPU: a thread block takes 64 queries of a head, four warps of 16, past all
// blocks of keys that they see, and keeps a running maximum and sum (Dao 2023).
#pragma once
#include "model/attention/causal_tile_cuda.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/math.hpp"

namespace switchyard::model::causal {

/// Of the two rows that a lane shares with three others: maximum and sum of exponentials.
struct Softmax {
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};

  /// Scores become exponentials of (score − maximum)·scale2 in base 2; factor is what earlier sums are worth.
  template <int n>
  __device__ void add(float (&scores)[n][4], float scale2, float (&factor)[2]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float now = top[r];
#pragma unroll
      for (int j = 0; j < n; ++j) now = fmaxf(now, fmaxf(scores[j][2 * r], scores[j][2 * r + 1]));
      now = fmaxf(now, __shfl_xor_sync(0xFFFFFFFFu, now, 1));
      now = fmaxf(now, __shfl_xor_sync(0xFFFFFFFFu, now, 2));
      const float shift = now * scale2;
      factor[r] = fast_exp2(__fmaf_rn(top[r], scale2, -shift));
      top[r] = now;
      float own = 0.0f;
#pragma unroll
      for (int j = 0; j < n; ++j)
        for (int e = 2 * r; e < 2 * r + 2; ++e)
          own += scores[j][e] = fast_exp2(__fmaf_rn(scores[j][e], scale2, -shift));
      own += __shfl_xor_sync(0xFFFFFFFFu, own, 1);
      own += __shfl_xor_sync(0xFFFFFFFFu, own, 2);
      sum[r] = __fmaf_rn(sum[r], factor[r], own);
    }
  }
};

/// Scores of keys after the query become −∞; rows and columns count from the first of the block on the diagonal.
template <int n>
__device__ void mask_future(float (&scores)[n][4]) {
  const int row = threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < n; ++j)
    for (int e = 0; e < 4; ++e)
      if (column + j * 8 + e % 2 > row + e / 2 * 8) scores[j][e] = -INFINITY;
}

/// Scales the sums of queries [first, first + rows) and writes them with the logs of the sums; queries from `poisoned`
/// on saw a value that is not finite.
template <int width, int rows>
__device__ void finish_forward(const Problem<Bf16>& p, const Place& at, const Softmax& softmax, const Sums<width>& sums,
                               float* memory, int poisoned) {
  const int first = at.part * rows, warp_row = threadIdx.x / 32 * 16, row = first + warp_row + threadIdx.x % 32 / 4;
  float inverse[2];
  for (int r = 0; r < 2; ++r) {
    inverse[r] = row + 8 * r >= poisoned ? NAN : 1.0f / softmax.sum[r];
    if (threadIdx.x % 4 == 0 && row + 8 * r < p.shape.context)
      p.log_sum[statistic(p, at.sequence, at.head) + row + 8 * r] =
          __fmaf_rn(softmax.top[r], p.scale, fast_log(softmax.sum[r]));
  }
  stage<width>(memory, sums, {inverse[0], inverse[1]}, warp_row, 0);
  __syncthreads();
  write_tile<width, rows>(memory, {p, p.out, at.sequence, at.head}, first);
}

/// Sums times what they are worth of each row of a lane.
template <int n>
__device__ void rescale(float (&sums)[n][4], const float (&factor)[2]) {
#pragma unroll
  for (int c = 0; c < n; ++c)
    for (int e = 0; e < 4; ++e) sums[c][e] *= factor[e / 2];
}

/// What a thread block of the forward kernel works at, and its tiles: q, and k and v of two blocks of keys.
template <int width>
struct Forward {
  using Keys = Tile<width>;
  static constexpr int bytes = 5 * Keys::count * 16;
  Place at;
  HeadRows<Bf16> q, k, v;
  uint4* tiles;

  __device__ Forward(const Problem<Bf16>& p, uint4* memory)
      : at(Place::from_last(p.blocks(block), p.shape.heads)),
        q(p, p.q, at.sequence, at.head),
        k(p, p.k, at.sequence, at.head / p.group()),
        v(p, p.v, at.sequence, at.head / p.group()),
        tiles(memory) {}
  __device__ uint4* keys(int j) const { return tiles + (1 + j % 2) * Keys::count; }
  __device__ uint4* values(int j) const { return tiles + (3 + j % 2) * Keys::count; }
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
    guard_own<Keys, warps_threads>(values(j), [&](int r) { atomicMin(poisoned, j * block + r); });
  }
};

/// Grid: Place of blocks(64) and heads.
template <int width>
__global__ void __launch_bounds__(warps_threads, resident<width>) forward(Problem<Bf16> p) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  const Forward<width> of(p, memory);
  gpu::await_before();
  gpu::let_next_come();
  load_tile<Tile<width>, warps_threads>(of.tiles, of.q, of.at.part * block);
  of.load(0);
  close_batch();
  if (threadIdx.x == 0) poisoned = unseen;
  __syncthreads();
  Softmax softmax;
  Sums<width> sums;
  clear(sums);
  for (int j = 0; j <= of.at.part; ++j) {
    of.advance(j, &poisoned);
    __syncthreads();
    Sums<block> scores;
    multiply_rows(scores, by_depth<width>(of.tiles, threadIdx.x / 32 * 16), by_columns<width>(of.keys(j)));
    if (j == of.at.part) mask_future(scores);
    float factor[2];
    softmax.add(scores, p.scale * log2e, factor);
    rescale(sums, factor);
    add_weighted(sums, scores, by_depth<width>(of.values(j)));
    __syncthreads();
  }
  finish_forward<width, block>(p, of.at, softmax, sums, reinterpret_cast<float*>(memory), poisoned);
}

}  // namespace switchyard::model::causal
