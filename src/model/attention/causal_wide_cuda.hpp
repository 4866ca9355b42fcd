// Causal attention of bfloat16 on Hopper for heads of 64 and 128 channels and long contexts: two warpgroups take 64
// rows each and share what they are multiplied with. k comes rotated. The products of one block of keys run while the
// softmax of another is made (Shah et al. 2024).
#pragma once
#include "model/attention/causal_forward_cuda.hpp"
#include "tensor/wgmma_cuda.hpp"

namespace switchyard::model::causal {

constexpr int wide = 128, wide_threads = 256;  ///< rows of a thread block, and its threads

/// Rows in shared memory as describe_matrix wants them, 64 channels after 64 channels.
template <int width, int n>
struct WideTile {
  static constexpr int rows = n, chunks = width / 8, count = rows * chunks;  // uint4 of a row, of the tile
  static __device__ int chunk(int row, int i) { return (i / 8 * rows + row) * 8 + (i % 8 ^ row % 8); }
  /// 16 channels of rows from `base` on, the depth of a product.
  static __device__ std::uint64_t by_channels(std::uint32_t base, int k) {
    return describe_matrix(base + k / 4 * rows * 128 + k % 4 * 32, 16);
  }
  /// 16 rows, the depth of a product, of all channels.
  static __device__ std::uint64_t by_rows(std::uint32_t base, int k) {
    return describe_matrix(base + k * 16 * 128, rows * 128);
  }
};

/// Where dynamic shared memory begins that is aligned for swizzled tiles; 1024 bytes more are asked for.
__device__ inline uint4* aligned_memory(uint4* memory) {
  return memory + (1024 - shared_address(memory) % 1024) % 1024 / 16;
}

/// The warpgroup of this thread, known to be the same for all of a warp.
__device__ inline int warpgroup() { return __shfl_sync(0xFFFFFFFFu, static_cast<int>(threadIdx.x) / 128, 0); }

/// Begins sums(64, 64) = a(64, width) · b(64, width)ᵀ as one batch.
template <class A, class B>
__device__ void begin_rows(Sums<64>& sums, std::uint32_t a, std::uint32_t b) {
  begin_first_product(sums, A::by_channels(a, 0), B::by_channels(b, 0));
#pragma unroll
  for (int k = 1; k < A::chunks / 2; ++k) begin_product(sums, A::by_channels(a, k), B::by_channels(b, k));
  close_products();
}

/// Weights (64, 64) of a warpgroup, rounded: the left operand of four products.
using Weights = std::uint32_t[4][4];
__device__ inline void pack_weights(Weights& to, const Sums<64>& from) {
#pragma unroll
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 4; ++i)
      to[k][i] = pack_bf16(from[2 * k + i / 2][i % 2 * 2], from[2 * k + i / 2][i % 2 * 2 + 1]);
}

/// Begins sums(64, width) += weights(64, 64) · b(64, width) as one batch.
template <class B, int n>
__device__ void begin_weighted(float (&sums)[n][4], const Weights& weights, std::uint32_t b) {
#pragma unroll
  for (int k = 0; k < 4; ++k) begin_product(sums, weights[k], B::by_rows(b, k));
  close_products();
}

/// What a thread block of forward_wide works at, 64 queries a warpgroup, and its tiles: q, and k and v of two blocks.
template <int width, int groups>
struct WideForward {
  using Queries = WideTile<width, groups * 64>;
  using Keys = WideTile<width, block>;
  static constexpr int rows = groups * 64, threads = groups * 128,
                       bytes = (Queries::count + 4 * Keys::count) * 16 + 1024;
  Place at;
  HeadRows<Bf16> q, k, v;
  uint4* tiles;
  int first, count;  // query; blocks of keys

  __device__ WideForward(const Problem<Bf16>& p, uint4* memory)
      : at(Place::from_last(p.blocks(rows), p.shape.heads)),
        q(p, p.q, at.sequence, at.head),
        k(p, p.k, at.sequence, at.head / p.group()),
        v(p, p.v, at.sequence, at.head / p.group()),
        tiles(aligned_memory(memory)),
        first(at.part * rows),
        count(min(groups * (at.part + 1), p.blocks(block))) {}
  __device__ uint4* keys(int j) const { return tiles + Queries::count + j % 2 * Keys::count; }
  __device__ uint4* values(int j) const { return tiles + Queries::count + (2 + j % 2) * Keys::count; }
  __device__ void load(int key, int value) const {
    if (key < count) load_tile<Keys, threads>(keys(key), k, key * block);
    if (value < count) load_tile<Keys, threads>(values(value), v, value * block);
    close_batch();
  }
  /// Loads the queries and the first keys.
  __device__ void begin() const {
    load_tile<Queries, threads>(tiles, q, first);
    load(0, count);
    load(1, 0);
    await_batches<1>();
    turn_own<Queries, threads>(tiles, q, first);
    publish_shared();
    __syncthreads();
  }
  /// Keys j + 1 and values j are there, and what j - 1 needed is free. As often in all warps.
  __device__ void advance(int j, int* poisoned) const {
    await_batches<0>();
    if (j * block >= first) guard_own<Keys, threads>(values(j), [&](int r) { atomicMin(poisoned, j * block + r); });
    publish_shared();
    __syncthreads();
    load(j + 2, j + 1);
  }
};

/// Scores of a block of keys → weights; factor is what earlier sums are worth.
__device__ inline void soften(Sums<64>& scores, bool diagonal, float scale2, Softmax& softmax, float (&factor)[2]) {
  if (diagonal) mask_future(scores);
  softmax.add(scores, scale2, factor);
  hold(scores);  // made here, while products run, not after they were awaited
}

/// Grid: Place of blocks(64 a warpgroup) and heads.
template <int width, int groups>
__global__ void __launch_bounds__(groups * 128, 1) forward_wide(Problem<Bf16> p) {
  p.vectors = true;  // no others come here, and need no code
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  using Work = WideForward<width, groups>;
  using Queries = typename Work::Queries;
  using Keys = typename Work::Keys;
  const Work of(p, memory);
  const int group = warpgroup(), own = groups * of.at.part + group,
            last = min(own, of.count - 1);  // on the diagonal, seen
  if (threadIdx.x == 0) poisoned = unseen;
  gpu::await_before();
  gpu::let_next_come();
  of.begin();
  const std::uint32_t queries = shared_address(of.tiles) + group * 64 * 128;
  const float scale2 = p.scale * log2e;
  Softmax softmax;
  Sums<width> sums;
  Sums<64> scores;
  Weights weights;
  float factor[2];
  clear(sums);
  open_products();
  begin_rows<Queries, Keys>(scores, queries, shared_address(of.keys(0)));
  await_products<0>(scores);
  soften(scores, own == 0, scale2, softmax, factor);
  pack_weights(weights, scores);
  for (int j = 0; j < last; ++j) {
    of.advance(j, &poisoned);
    open_products(sums, weights);
    begin_rows<Queries, Keys>(scores, queries, shared_address(of.keys(j + 1)));
    begin_weighted<Keys>(sums, weights, shared_address(of.values(j)));
    await_products<1>(scores);
    soften(scores, j + 1 == own, scale2, softmax, factor);
    stay_before(of.count);
    await_products<0>(sums, weights, scores);
    rescale(sums, factor);
    pack_weights(weights, scores);
  }
  of.advance(last, &poisoned);
  open_products(sums, weights);
  begin_weighted<Keys>(sums, weights, shared_address(of.values(last)));
  await_products<0>(sums, weights);
  for (int j = last + 1; j < of.count; ++j) of.advance(j, &poisoned);
  __syncthreads();
  finish_forward<width, Work::rows>(p, of.at, softmax, sums, reinterpret_cast<float*>(of.tiles), poisoned);
}

}  // namespace switchyard::model::causal
