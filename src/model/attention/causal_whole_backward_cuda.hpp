// The backward pass for short contexts (causal_whole_cuda.hpp), without atomics: half of the warps take strips of
// queries past their keys, the others strips of keys past their queries. Both compute the scores again, so that every
// sum is one thread's, in a fixed order.
#pragma once
#include "model/attention/causal_whole_cuda.hpp"

namespace switchyard::model::causal {

/// Σ of products of eight pairs of elements.
__device__ inline float dot_chunk(const uint4& x, const uint4& y, float sum) {
  const std::uint32_t a[4] = {x.x, x.y, x.z, x.w}, b[4] = {y.x, y.y, y.z, y.w};
  for (int e = 0; e < 4; ++e) {
    sum = __fmaf_rn(low_bf16(a[e]), low_bf16(b[e]), sum);
    sum = __fmaf_rn(high_bf16(a[e]), high_bf16(b[e]), sum);
  }
  return sum;
}

/// Word c of each of four lanes: what lane c of the four held as words 0 to 3 stands in the lanes, and the reverse.
__device__ inline void transpose_four(std::uint32_t (&word)[4]) {
  const bool odd = threadIdx.x % 2 > 0, high = threadIdx.x / 2 % 2 > 0;
  std::uint32_t a = __shfl_xor_sync(0xFFFFFFFFu, odd ? word[0] : word[1], 1),
                b = __shfl_xor_sync(0xFFFFFFFFu, odd ? word[2] : word[3], 1);
  (odd ? word[0] : word[1]) = a, (odd ? word[2] : word[3]) = b;
  a = __shfl_xor_sync(0xFFFFFFFFu, high ? word[0] : word[2], 2);
  b = __shfl_xor_sync(0xFFFFFFFFu, high ? word[1] : word[3], 2);
  (high ? word[0] : word[2]) = a, (high ? word[1] : word[3]) = b;
}

/// Turns one row of a warp's sums back.
template <int width>
__device__ void turn_strip(float (&sums)[width / 8][4], int r, const Problem<Bf16>& p, int row) {
  const int angle = min(row, p.shape.context - 1) * (width / 2) + threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < width / 16; ++j) {
    float *a = sums[j] + 2 * r, *b = sums[j + width / 16] + 2 * r;
    const float2 c = __ldg(reinterpret_cast<const float2*>(p.cosine + angle + j * 8)),
                 s = __ldg(reinterpret_cast<const float2*>(p.sine + angle + j * 8));
    turn_back(a[0], b[0], c.x, s.x), turn_back(a[1], b[1], c.y, s.y);
  }
}

/// One row of a warp's sums times a factor, rounded once. All lanes; those of rows that are not `there` write nothing.
template <int width>
__device__ void write_strip(const float (&sums)[width / 8][4], int r, float factor, const FewRows& to, int row,
                            bool there) {
  constexpr int tiles = width / 8;
  const int lane = threadIdx.x % 4;
  const auto word_of = [&](int j) { return pack_bf16(sums[j][2 * r] * factor, sums[j][2 * r + 1] * factor); };
  if constexpr (tiles % 4 == 0) {
#pragma unroll
    for (int j = 0; j < tiles; j += 4) {
      std::uint32_t word[4];
      for (int i = 0; i < 4; ++i) word[i] = word_of(j + i);
      transpose_four(word);
      if (there) *reinterpret_cast<uint4*>(to.at(row, (j + lane) * 8)) = make_uint4(word[0], word[1], word[2], word[3]);
    }
  } else {
    for (int j = 0; j < tiles && there; ++j)
      *reinterpret_cast<std::uint32_t*>(to.at(row, j * 8 + lane * 2)) = word_of(j);
  }
}

/// From which key on, and up to which query, something is not finite.
struct Poisoned {
  int key, query;
};

/// What a thread block of backward_whole works at: tiles of k, v, q and dout, and of queries the log_sum in base 2 (∞
/// where there are none, so that probabilities are 0) and Σ dout·out.
template <int width, int step>
struct WholeBackward {
  static_assert(width == 16 || width == 32 || width == 64 || width == 128, "lanes of a row add up Σ dout·out");
  static __host__ __device__ int padded(int context) { return round_to(context, step > 32 ? step : 32); }
  static __host__ __device__ int bytes(int context) { return padded(context) * (8 * width + 8); }
  const Problem<Bf16>& p;
  const Gradients<Bf16>& g;
  Spread spread;
  WholePlace at;
  uint4* tiles;
  int rows;

  __device__ WholeBackward(const Problem<Bf16>& problem, const Gradients<Bf16>& gradients, uint4* memory)
      : p(problem),
        g(gradients),
        spread(p.shape.context, blockDim.x / 128),
        tiles(memory),
        rows(padded(p.shape.context)) {}
  __device__ uint4* tile(int number) const { return tiles + number * rows * (width / 8); }
  __device__ uint4* keys() const { return tile(0); }
  __device__ uint4* values() const { return tile(1); }
  __device__ uint4* queries() const { return tile(2); }
  __device__ uint4* douts() const { return tile(3); }
  __device__ float* log_sums() const { return reinterpret_cast<float*>(tile(4)); }
  __device__ float* deltas() const { return log_sums() + rows; }
  __device__ FewRows head_rows(const Strided<Bf16>& all, int head) const { return {p, all, at.sequence, head}; }

  /// The queries of a head, what belongs to them, and the keys, in one body: all is asked for before any is awaited.
  /// Rows that this part has no use for, and those after the end, are copies of the next one that is needed.
  __device__ void load(int head, Poisoned* poisoned) const {
    constexpr int half = width / 16;
    const FewRows k = head_rows(p.k, at.head), v = head_rows(p.v, at.head), q = head_rows(p.q, head),
                  dout = head_rows(g.out, head), out = head_rows(p.out, head);
    const float* log_sum = p.log_sum + statistic(p, at.sequence, head);
    const int end = p.shape.context, first_query = spread.first_needed(at.part),
              end_key = min(end, spread.end_needed(at.part));
    for (int it = threadIdx.x; it < rows * half; it += blockDim.x) {
      const int row = it / half, i = it % half;
      const int query = min(max(row, first_query), end - 1), key = min(row, end_key - 1);
      ChunkPair of_q = ChunkPair::read<width>(q, query, i), of_dout = ChunkPair::read<width>(dout, query, i),
                of_k = ChunkPair::read<width>(k, key, i);
      const ChunkPair of_out = ChunkPair::read<width>(out, query, i), of_v = ChunkPair::read<width>(v, key, i);
      ChunkAngles angles;
      if (p.k.turn) angles.read<width>(p, min(row, end - 1), i);
      const float shift = log_sum[query] * log2e;
      float delta = dot_chunk(of_dout.b, of_out.b, dot_chunk(of_dout.a, of_out.a, 0.0f));
#pragma unroll
      for (int d = 1; d < half; d *= 2) delta += __shfl_xor_sync(0xFFFFFFFFu, delta, d);
      if (p.k.turn) angles.turn(of_q), angles.turn(of_k);
      const bool bad_q = of_q.guard(), bad_dout = of_dout.guard();
      if (bad_q || bad_dout) atomicMax(&poisoned->query, query);
      if (of_k.guard()) atomicMin(&poisoned->key, key);
      of_q.write<width>(queries(), row, i), of_dout.write<width>(douts(), row, i);
      if (i == 0) log_sums()[row] = query == row ? shift : INFINITY, deltas()[row] = query == row ? delta : 0.0f;
      of_k.write<width>(keys(), row, i), of_v.write<width>(values(), row, i);
    }
  }
};

/// Writes dq of a strip of queries, from `first` on: its keys in order. The sums, 0, are left so.
template <int width, int step>
__device__ void take_queries(const WholeBackward<width, step>& of, int head, int first, int poisoned,
                             Sums<width>& sums) {
  const Held<width> q(by_depth<width>(of.queries(), first)), dout(by_depth<width>(of.douts(), first));
  const int row = first + threadIdx.x % 32 / 4;
  const float shift[2] = {of.log_sums()[row], of.log_sums()[row + 8]},
              delta[2] = {of.deltas()[row], of.deltas()[row + 8]}, scale2 = of.p.scale * log2e;
  Parts<width> by_key = by_columns<width>(of.keys()), by_value = by_columns<width>(of.values()),
               keys = by_depth<width>(of.keys());
  for (int key = 0; key <= first; key += step) {
    Sums<step> scores, products;
    multiply_rows(scores, q, by_key);
    multiply_rows(products, dout, by_value);
#pragma unroll
    for (int j = 0; j < step / 8; ++j)
      for (int e = 0; e < 4; ++e)
        scores[j][e] = fast_exp2(__fmaf_rn(scores[j][e], scale2, -shift[e / 2])) * (products[j][e] - delta[e / 2]);
    const int ahead = key - first;
    if (ahead + step > 0) mask_where(scores, 0.0f, [=](int r, int column) { return column + ahead > r; });
    add_weighted(sums, scores, keys);
    for (Parts<width>* parts : {&by_key, &by_value, &keys}) parts->base += step * width * 2;
  }
  const FewRows to = of.head_rows(of.g.q, head);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int own = row + 8 * r;
    if (of.p.q.turn) turn_strip<width>(sums, r, of.p, own);
    write_strip<width>(sums, r, own >= poisoned ? NAN : of.p.scale, to, own, own < of.p.shape.context);
  }
  clear(sums);
}

/// Sums of a strip of keys.
template <int width>
struct KeySums {
  Sums<width> dk, dv;
};

/// Adds what the queries of a head give back to a strip of keys, from `first` on.
template <int width, int step>
__device__ void take_keys(const WholeBackward<width, step>& of, int first, KeySums<width>& sums) {
  using Left = std::conditional_t<(width > 32), Reread<width>, Held<width>>;
  const Left k(by_depth<width>(of.keys(), first)), v(by_depth<width>(of.values(), first));
  const float scale2 = of.p.scale * log2e;
  for (int query = first / step * step; query < of.p.shape.context; query += step) {
    const int offset = query * (width / 8);
    Sums<step> scores, products;
    multiply_rows(scores, k, by_columns<width>(of.queries() + offset));
    multiply_rows(products, v, by_columns<width>(of.douts() + offset));
    const float *shifts = of.log_sums() + query + threadIdx.x % 4 * 2, *deltas = shifts + of.rows;
#pragma unroll
    for (int j = 0; j < step / 8; ++j) {
      const float2 shift = *reinterpret_cast<const float2*>(shifts + j * 8),
                   delta = *reinterpret_cast<const float2*>(deltas + j * 8);
      for (int e = 0; e < 4; ++e) {
        scores[j][e] = fast_exp2(__fmaf_rn(scores[j][e], scale2, -(e % 2 ? shift.y : shift.x)));
        products[j][e] = scores[j][e] * (products[j][e] - (e % 2 ? delta.y : delta.x));
      }
    }
    const int ahead = query - first;
    if (ahead < strip) {
      const auto hidden = [=](int row, int column) { return column + ahead < row; };
      mask_where(scores, 0.0f, hidden), mask_where(products, 0.0f, hidden);
    }
    add_weighted(sums.dv, scores, by_depth<width>(of.douts() + offset));
    add_weighted(sums.dk, products, by_depth<width>(of.queries() + offset));
  }
}

/// Writes dk and dv of a strip; keys up to `poisoned` belong to masked queries that are not finite.
template <int width, int step>
__device__ void finish_strip(const WholeBackward<width, step>& of, int first, KeySums<width>& sums, int poisoned) {
  const FewRows dk = of.head_rows(of.g.k, of.at.head), dv = of.head_rows(of.g.v, of.at.head);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = first + threadIdx.x % 32 / 4 + 8 * r;
    const float factor = row <= poisoned ? NAN : 1.0f;
    const bool there = row < of.p.shape.context;
    if (of.p.k.turn) turn_strip<width>(sums.dk, r, of.p, row);
    write_strip<width>(sums.dk, r, factor * of.p.scale, dk, row, there);
    write_strip<width>(sums.dv, r, factor, dv, row, there);
  }
}

/// dq, dk and dv. Grid: WholePlace of kv_heads; 128 threads for each pair of strips.
template <int width, int step, int threads>
__global__ void __launch_bounds__(threads, 1) backward_whole(Problem<Bf16> p, Gradients<Bf16> g) {
  extern __shared__ uint4 memory[];
  __shared__ Poisoned poisoned;
  const WholeBackward<width, step> of(p, g, memory);
  const int slots = 2 * of.spread.pairs, warp = threadIdx.x / 32, group = p.group();
  const bool of_queries = warp < slots;
  const int first = of.spread.first_row(of.at.part, of_queries ? warp : warp - slots);
  if (threadIdx.x == 0) poisoned = {unseen, -1};
  __syncthreads();
  gpu::await_before();
  gpu::let_next_come();
  KeySums<width> sums;
  clear(sums.dk), clear(sums.dv);
  for (int i = 0; i < group; ++i) {
    const int head = of.at.head * group + i;
    if (i > 0) __syncthreads();
    of.load(head, &poisoned);
    __syncthreads();
    if (first >= 0 && of_queries)  // the same registers as those of dk; those of dv are free
      take_queries(of, head, first, poisoned.key, sums.dk), clear(sums.dv);
    else if (first >= 0)
      take_keys(of, first, sums);
  }
  if (first >= 0 && !of_queries) finish_strip(of, first, sums, poisoned.query);
}

}  // namespace switchyard::model::causal
