// Causal attention of floats on a GPU: the same cut as of bfloat16 in blocks of 32 queries and 32 keys, by fused
// multiply-adds. Thread (y, x) of 8 x 16 makes rows y + 8·i, and columns x + 16·j of scores or channels of results.
#pragma once
#include "model/attention/causal_rows_cuda.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/math.hpp"

namespace switchyard::model::causal {

constexpr int few = 32;  ///< rows of a block
constexpr int float_threads = 128;

/// (32, width) in shared memory; four more floats a row, so that eight rows meet different banks.
template <int width>
constexpr int float_stride = width + 4;
template <int width>
constexpr int float_tile = few* float_stride<width>;
constexpr int score_stride = few + 1;

/// Floats of shared memory of the forward kernel, and of the backward ones.
template <int width>
constexpr int float_forward_bytes = (3 * float_tile<width> + few * score_stride + 2 * few) * 4;
template <int width>
constexpr int float_backward_bytes = (4 * float_tile<width> + 2 * few * score_stride + 2 * few) * 4;

template <int width>
__device__ void load_floats(float* tile, const HeadRows<float>& from, int first) {
  for (int it = threadIdx.x; it < few * width; it += float_threads)
    tile[it / width * float_stride<width> + it % width] = from.value(first + it / width, it % width);
}

__device__ inline int thread_y() { return threadIdx.x / 16; }
__device__ inline int thread_x() { return threadIdx.x % 16; }

/// The products of four rows of a with two of b.
template <int width>
__device__ void multiply_floats(float (&sums)[4][2], const float* a, const float* b) {
  for (auto& row : sums) row[0] = row[1] = 0.0f;
#pragma unroll 4
  for (int c = 0; c < width; c += 4) {
    float4 y[2];
    for (int j = 0; j < 2; ++j)
      y[j] = *reinterpret_cast<const float4*>(b + (thread_x() + 16 * j) * float_stride<width> + c);
    for (int i = 0; i < 4; ++i) {
      const float4 x = *reinterpret_cast<const float4*>(a + (thread_y() + 8 * i) * float_stride<width> + c);
      for (int j = 0; j < 2; ++j) {
        sums[i][j] = __fmaf_rn(x.x, y[j].x, sums[i][j]);
        sums[i][j] = __fmaf_rn(x.y, y[j].y, sums[i][j]);
        sums[i][j] = __fmaf_rn(x.z, y[j].z, sums[i][j]);
        sums[i][j] = __fmaf_rn(x.w, y[j].w, sums[i][j]);
      }
    }
  }
}

/// Which terms of a block on the diagonal count: columns up to the row, or from it on.
enum class Seen : std::uint8_t { all, up_to_row, from_row };
__device__ inline bool counts(Seen seen, int row, int column) {
  return seen == Seen::all || (seen == Seen::up_to_row ? column <= row : column >= row);
}

template <int width>
using FloatSums = float[4][width / 16];

template <int width>
__device__ void clear_floats(FloatSums<width>& sums) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
    for (int c = 0; c < width / 16; ++c) sums[i][c] = 0.0f;
}

/// sums(row, ·) += weights[row·down + column·across] · b(column, ·) for columns that count, in order; others are not
/// touched, since 0 times what is not finite is NaN.
template <int width>
__device__ void add_floats(FloatSums<width>& sums, const float* weights, int down, int across, const float* b,
                           Seen seen) {
  for (int k = 0; k < few; ++k) {
    float y[width / 16];
#pragma unroll
    for (int c = 0; c < width / 16; ++c) y[c] = b[k * float_stride<width> + thread_x() + 16 * c];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = thread_y() + 8 * i;
      if (!counts(seen, row, k)) continue;
      const float w = weights[row * down + k * across];
#pragma unroll
      for (int c = 0; c < width / 16; ++c) sums[i][c] = __fmaf_rn(w, y[c], sums[i][c]);
    }
  }
}

/// To rows of a tile with stride staged<width>, times a factor.
template <int width>
__device__ void stage_floats(float* to, const FloatSums<width>& sums, float factor) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
    for (int c = 0; c < width / 16; ++c)
      to[(thread_y() + 8 * i) * staged<width> + thread_x() + 16 * c] = sums[i][c] * factor;
}

/// Running maximum and sum of one row, its 32 scores of a block one a lane: → exponentials; what earlier sums are
/// worth.
__device__ inline float soften_row(float* scores, int seen, float& top, float& sum) {
  const int lane = threadIdx.x % 32;
  const float score = lane < seen ? scores[lane] : -INFINITY;
  float now = fmaxf(top, score);
  for (int d = 16; d > 0; d /= 2) now = fmaxf(now, __shfl_xor_sync(0xFFFFFFFFu, now, d));
  const float exponential = lane < seen ? fast_exp(score - now) : 0.0f;
  float total = exponential;
  for (int d = 16; d > 0; d /= 2) total += __shfl_xor_sync(0xFFFFFFFFu, total, d);
  const float factor = top == -INFINITY ? 0.0f : fast_exp(top - now);
  scores[lane] = exponential;
  sum = __fmaf_rn(sum, factor, total);
  top = now;
  return factor;
}

template <int width>
__global__ void __launch_bounds__(float_threads) forward_floats(Problem<float> p) {
  extern __shared__ uint4 memory[];
  Place at(p.blocks(few), p.shape.heads);
  at.part = p.blocks(few) - 1 - at.part;
  const int first = at.part * few, kv = at.head / p.group(), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float *q = reinterpret_cast<float*>(memory), *k = q + float_tile<width>, *v = k + float_tile<width>;
  float *scores = v + float_tile<width>, *factors = scores + few * score_stride, *sums_of = factors + few;
  float top[8], sum[8];  // of the warp's rows
  for (int i = 0; i < 8; ++i) top[i] = -INFINITY, sum[i] = 0.0f;
  FloatSums<width> out;
  clear_floats<width>(out);
  gpu::await_before();
  gpu::let_next_come();
  load_floats<width>(q, {p, p.q, at.sequence, at.head}, first);
  for (int j = 0; j <= at.part; ++j) {
    load_floats<width>(k, {p, p.k, at.sequence, kv}, j * few);
    load_floats<width>(v, {p, p.v, at.sequence, kv}, j * few);
    __syncthreads();
    float s[4][2];
    multiply_floats<width>(s, q, k);
    for (int i = 0; i < 4; ++i)
      for (int c = 0; c < 2; ++c) scores[(thread_y() + 8 * i) * score_stride + thread_x() + 16 * c] = s[i][c] * p.scale;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = warp * 8 + i;
      const float factor = soften_row(scores + row * score_stride, j == at.part ? row + 1 : few, top[i], sum[i]);
      if (lane == 0) factors[row] = factor, sums_of[row] = sum[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; ++i)
      for (int c = 0; c < width / 16; ++c) out[i][c] *= factors[thread_y() + 8 * i];
    add_floats<width>(out, scores, score_stride, 1, v, j == at.part ? Seen::up_to_row : Seen::all);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 8; ++i)
    if (lane == 0 && first + warp * 8 + i < p.shape.context)
      p.log_sum[statistic(p, at.sequence, at.head) + first + warp * 8 + i] = top[i] + fast_log(sum[i]);
#pragma unroll
  for (int i = 0; i < 4; ++i)
    for (int c = 0; c < width / 16; ++c) out[i][c] *= 1.0f / sums_of[thread_y() + 8 * i];
  stage_floats<width>(q, out, 1.0f);
  __syncthreads();
  write_rows<width, few>(q, HeadRows<float>(p, p.out, at.sequence, at.head), first);
}

/// log_sum and delta of 32 queries to shared memory: ∞ and 0 past the end. With `make`, delta = Σ dout·out first.
template <int width>
__device__ void load_statistics(const Problem<float>& p, const Gradients<float>& g, const Place& at, int head,
                                int first, bool make, float* log_sum, float* delta) {
  if (threadIdx.x >= few) return;
  const int t = first + threadIdx.x;
  const bool there = t < p.shape.context;
  const Index row = statistic(p, at.sequence, head) + t;
  if (make && there) {
    const HeadRows<float> dout(p, g.out, at.sequence, head), out(p, p.out, at.sequence, head);
    float sum = 0.0f;
    for (int c = 0; c < out.dim; ++c) sum = __fmaf_rn(*dout.at(t, c), *out.at(t, c), sum);
    g.delta[row] = sum;
  }
  log_sum[threadIdx.x] = there ? p.log_sum[row] : INFINITY;
  delta[threadIdx.x] = there ? g.delta[row] : 0.0f;
}

/// Probabilities (query, key) and gradients of their scaled scores into shared memory, rows queries; 0 where masked.
template <int width>
__device__ void float_gradients(const float* const (&tiles)[4], const float* statistics, float scale, bool diagonal,
                                float* probabilities) {
  float s[4][2], d[4][2];
  multiply_floats<width>(s, tiles[0], tiles[1]);
  multiply_floats<width>(d, tiles[2], tiles[3]);
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 2; ++j) {
      const int row = thread_y() + 8 * i, column = thread_x() + 16 * j, at = row * score_stride + column;
      const bool masked = diagonal && column > row;
      const float probability = fast_exp(__fmaf_rn(s[i][j], scale, -statistics[row]));
      probabilities[at] = masked ? 0.0f : probability;
      probabilities[few * score_stride + at] = masked ? 0.0f : probability * (d[i][j] - statistics[few + row]);
    }
}

/// What both backward kernels keep in shared memory: tiles q, k, dout, v; probabilities, gradients; log_sum, delta.
template <int width>
struct FloatTiles {
  float *q, *k, *dout, *v, *probabilities, *gradients, *log_sum, *delta;
  __device__ explicit FloatTiles(float* memory) {
    constexpr int n = float_tile<width>;
    q = memory, k = q + n, dout = k + n, v = dout + n, probabilities = v + n;
    gradients = probabilities + few * score_stride, log_sum = gradients + few * score_stride, delta = log_sum + few;
  }
  __device__ void make(float scale, bool diagonal) const {
    float_gradients<width>({q, k, dout, v}, log_sum, scale, diagonal, probabilities);
  }
};

template <int width>
__global__ void __launch_bounds__(float_threads) backward_queries_floats(Problem<float> p, Gradients<float> g) {
  extern __shared__ uint4 memory[];
  Place at(p.blocks(few), p.shape.heads);
  at.part = p.blocks(few) - 1 - at.part;
  const int first = at.part * few, kv = at.head / p.group();
  const FloatTiles<width> tiles(reinterpret_cast<float*>(memory));
  gpu::await_before();
  gpu::let_next_come();
  load_floats<width>(tiles.q, {p, p.q, at.sequence, at.head}, first);
  load_floats<width>(tiles.dout, {p, g.out, at.sequence, at.head}, first);
  load_statistics<width>(p, g, at, at.head, first, true, tiles.log_sum, tiles.delta);
  FloatSums<width> dq;
  clear_floats<width>(dq);
  for (int j = 0; j <= at.part; ++j) {
    load_floats<width>(tiles.k, {p, p.k, at.sequence, kv}, j * few);
    load_floats<width>(tiles.v, {p, p.v, at.sequence, kv}, j * few);
    __syncthreads();
    tiles.make(p.scale, j == at.part);
    __syncthreads();
    add_floats<width>(dq, tiles.gradients, score_stride, 1, tiles.k, j == at.part ? Seen::up_to_row : Seen::all);
    __syncthreads();
  }
  stage_floats<width>(tiles.q, dq, p.scale);
  __syncthreads();
  write_rows<width, few>(tiles.q, HeadRows<float>(p, g.q, at.sequence, at.head), first);
}

template <int width>
__global__ void __launch_bounds__(float_threads) backward_keys_floats(Problem<float> p, Gradients<float> g) {
  extern __shared__ uint4 memory[];
  const Place at(p.blocks(few), p.shape.kv_heads);
  const int first = at.part * few, each = p.blocks(few) - at.part;
  const FloatTiles<width> tiles(reinterpret_cast<float*>(memory));
  gpu::await_before();
  gpu::let_next_come();
  load_floats<width>(tiles.k, {p, p.k, at.sequence, at.head}, first);
  load_floats<width>(tiles.v, {p, p.v, at.sequence, at.head}, first);
  FloatSums<width> dk, dv;
  clear_floats<width>(dk);
  clear_floats<width>(dv);
  for (int it = 0; it < each * p.group(); ++it) {
    const int head = at.head * p.group() + it / each, from = (at.part + it % each) * few;
    const Seen seen = from == first ? Seen::from_row : Seen::all;
    load_floats<width>(tiles.q, {p, p.q, at.sequence, head}, from);
    load_floats<width>(tiles.dout, {p, g.out, at.sequence, head}, from);
    load_statistics<width>(p, g, at, head, from, false, tiles.log_sum, tiles.delta);
    __syncthreads();
    tiles.make(p.scale, from == first);
    __syncthreads();
    add_floats<width>(dv, tiles.probabilities, 1, score_stride, tiles.dout, seen);
    add_floats<width>(dk, tiles.gradients, 1, score_stride, tiles.q, seen);
    __syncthreads();
  }
  stage_floats<width>(tiles.q, dv, 1.0f);
  stage_floats<width>(tiles.k + few * 8, dk, p.scale);
  __syncthreads();
  write_rows<width, few>(tiles.q, HeadRows<float>(p, g.v, at.sequence, at.head), first);
  write_rows<width, few>(tiles.k + few * 8, HeadRows<float>(p, g.k, at.sequence, at.head), first);
}

}  // namespace switchyard::model::causal
