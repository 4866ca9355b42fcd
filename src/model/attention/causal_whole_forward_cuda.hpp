// The forward pass for short contexts (causal_whole_cuda.hpp): `ways` warps share the keys of a strip of queries, step
// by step in turn, each with a softmax of its own; their sums are merged in order.
#pragma once
#include "model/attention/causal_whole_cuda.hpp"

namespace switchyard::model::causal {

/// 16 queries as the left operand, straight from global memory: lanes have pairs of channels, and their partners.
template <int width>
struct Queries {
  static constexpr int half = width / 2, pairs = width / 16;  // pairs of channels of a row in the lower half of a lane
  std::uint32_t low[pairs][2], high[pairs][2];                // pair, row
  float2 c[pairs][2], s[pairs][2];

  /// Begins to load, the last row instead of those after the end.
  __device__ Queries(const Problem<Bf16>& p, const FewRows& q, int first) {
    for (int r = 0; r < 2; ++r) {
      const int row = min(max(first, 0) + static_cast<int>(threadIdx.x) % 32 / 4 + 8 * r, p.shape.context - 1);
#pragma unroll
      for (int j = 0; j < pairs; ++j) {
        const int i = threadIdx.x % 4 * 2 + 8 * j;
        const auto* at = reinterpret_cast<const std::uint32_t*>(q.at(row, i));
        low[j][r] = at[0], high[j][r] = at[half / 2];
        if (!p.q.turn) continue;
        c[j][r] = __ldg(reinterpret_cast<const float2*>(p.cosine + row * half + i));
        s[j][r] = __ldg(reinterpret_cast<const float2*>(p.sine + row * half + i));
      }
    }
  }
  __device__ void turn() {
#pragma unroll
    for (int j = 0; j < pairs; ++j)
      for (int r = 0; r < 2; ++r) turn_pairs(low[j][r], high[j][r], c[j][r], s[j][r]);
  }
  /// Channels [16·k, 16·k + 16).
  __device__ void read(std::uint32_t (&to)[4], int k) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int j = 2 * k + i / 2;
      to[i] = j < pairs ? low[j % pairs][i % 2] : high[j % pairs][i % 2];
    }
  }
};

/// What a thread block of forward_whole works at: tiles of k and v; then, where those were, sums and statistics
/// (ways, rows) of its queries.
template <int width, int ways, int step>
struct WholeForward {
  static_assert(ways == 1 || ways == 2);
  static __host__ __device__ int bytes(int context, int pairs) {
    const int keys = round_to(context, step > 32 ? step : 32) * width * 4, rows = 2 * pairs * strip;
    const int sums = ways * rows * (staged<width> + 2) * 4;
    return keys > sums ? keys : sums;
  }
  const Problem<Bf16>& p;
  Spread spread;
  WholePlace at;
  uint4* tiles;
  int rows, end, way, slot;  // queries of the block; keys it needs; of this warp

  __device__ WholeForward(const Problem<Bf16>& problem, uint4* memory)
      : p(problem),
        spread(p.shape.context, blockDim.x / (64 * ways)),
        tiles(memory),
        rows(2 * spread.pairs * strip),
        end(spread.end_needed(at.part)),
        way(ways > 1 && static_cast<int>(threadIdx.x) >= 2 * rows),
        slot(static_cast<int>(threadIdx.x) / 32 - way * 2 * spread.pairs) {}
  __device__ uint4* values() const { return tiles + round_to(end, step) * (width / 8); }
  __device__ float* sums(int of_way) const { return reinterpret_cast<float*>(tiles) + of_way * rows * staged<width>; }
  __device__ float2* statistics(int of_way) const { return reinterpret_cast<float2*>(sums(ways)) + of_way * rows; }

  /// Keys, rotated, and values, of which those from `poisoned` on are not all finite; the last row also instead of
  /// those after the end, which no query sees.
  __device__ void load(int* poisoned) const {
    constexpr int half = width / 16;
    const int head = p.key_head(at.head);
    const FewRows k(p, p.k, at.sequence, head), v(p, p.v, at.sequence, head);
    for (int it = threadIdx.x; it < round_to(end, step) * half; it += blockDim.x) {
      const int row = it / half, i = it % half, from = min(row, p.shape.context - 1);
      ChunkPair key = ChunkPair::read<width>(k, from, i), value = ChunkPair::read<width>(v, from, i);
      ChunkAngles angles;
      if (p.k.turn) angles.read<width>(p, from, i);
      if (p.k.turn) angles.turn(key);
      if (value.guard()) atomicMin(poisoned, from);
      key.write<width>(tiles, row, i);
      value.write<width>(values(), row, i);
    }
  }
  /// The queries of this warp past its share of the keys.
  __device__ void sweep(const Queries<width>& queries, int first, Softmax& softmax, Sums<width>& sums) const {
    Parts<width> k = by_columns<width>(tiles), v = by_depth<width>(values());
    k.base += way * step * width * 2, v.base += way * step * width * 2;
    for (int key = way * step; key <= first; key += ways * step) {
      Sums<step> scores;
      multiply_rows(scores, queries, k);
      const int ahead = key - first;
      if (ahead + step > 0) mask_where(scores, -INFINITY, [=](int row, int column) { return column + ahead > row; });
      float factor[2];
      softmax.add(scores, p.scale * log2e, factor);
      rescale(sums, factor);
      add_weighted(sums, scores, v);
      k.base += ways * step * width * 2, v.base += ways * step * width * 2;
    }
  }
  /// Leaves sums and statistics where the tiles were.
  __device__ void leave(const Softmax& softmax, const Sums<width>& own) const {
    stage<width>(sums(way), own, {1.0f, 1.0f}, slot * strip, 0);
    if (threadIdx.x % 4 > 0) return;
    for (int r = 0; r < 2; ++r)
      statistics(way)[slot * strip + threadIdx.x % 32 / 4 + 8 * r] = {softmax.top[r], softmax.sum[r]};
  }
  /// Eight channels of a query: what the ways have summed, merged. Queries from `poisoned` on saw a value that is not
  /// finite.
  __device__ void finish(int row, int chunk, int query, int poisoned) const {
    float top = -INFINITY, sum = 0.0f, out[8] = {}, own[8];
    for (int w = 0; w < ways; ++w) top = fmaxf(top, statistics(w)[row].x);
    for (int w = 0; w < ways; ++w) {
      const float2 of = statistics(w)[row];
      const float factor = fast_exp2((of.x - top) * (p.scale * log2e));
      sum = __fmaf_rn(factor, of.y, sum);
      read_chunk(own, sums(w) + row * staged<width> + chunk * 8);
      for (int e = 0; e < 8; ++e) out[e] = __fmaf_rn(factor, own[e], out[e]);
    }
    const float inverse = query >= poisoned ? NAN : 1.0f / sum;
    for (int e = 0; e < 8; ++e) out[e] *= inverse;
    const FewRows to(p, p.out, at.sequence, at.head);
    *reinterpret_cast<uint4*>(to.at(query, chunk * 8)) = pack_chunk(out);
    if (chunk == 0) p.log_sum[statistic(p, at.sequence, at.head) + query] = __fmaf_rn(top, p.scale, fast_log(sum));
  }
  __device__ void write(int poisoned) const {
    constexpr int chunks = width / 8;
    for (int it = threadIdx.x; it < rows * chunks; it += blockDim.x) {
      const int row = it / chunks, first = spread.first_row(at.part, row / strip), query = first + row % strip;
      if (first >= 0 && query < p.shape.context) finish(row, it % chunks, query, poisoned);
    }
  }
};

/// Grid: WholePlace of heads; 64·ways threads for each pair of strips.
template <int width, int ways, int step>
__global__ void __launch_bounds__(256 * ways, 1) forward_whole(Problem<Bf16> p) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  const WholeForward<width, ways, step> of(p, memory);
  const int first = of.spread.first_row(of.at.part, of.slot);
  if (threadIdx.x == 0) poisoned = unseen;
  __syncthreads();
  gpu::await_before();
  gpu::let_next_come();
  Queries<width> queries(p, {p, p.q, of.at.sequence, of.at.head}, first);
  of.load(&poisoned);
  if (p.q.turn) queries.turn();
  __syncthreads();
  Softmax softmax;
  Sums<width> sums;
  clear(sums);
  if (first >= 0) of.sweep(queries, first, softmax, sums);
  __syncthreads();
  of.leave(softmax, sums);
  __syncthreads();
  of.write(poisoned);
}

}  // namespace switchyard::model::causal
