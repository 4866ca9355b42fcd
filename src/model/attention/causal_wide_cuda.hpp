// Causal attention of bfloat16 on Hopper for heads of 64 and 128 channels and long contexts: two warpgroups take 64 rows
// each and share what they are multiplied with. k comes rotated. The products of one block of keys run while the softmax
// of another is made (Shah et al. 2024).
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
#pragma unroll
  for (int k = 0; k < A::chunks / 2; ++k) begin_product(sums, A::by_channels(a, k), B::by_channels(b, k), k > 0);
  close_products();
}

/// Weights (64, 64) of a warpgroup, rounded: the left operand of four products.
using Weights = std::uint32_t[4][4];
__device__ inline void pack_weights(Weights& to, const Sums<64>& from) {
#pragma unroll
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 4; ++i) to[k][i] = pack_bf16(from[2 * k + i / 2][i % 2 * 2], from[2 * k + i / 2][i % 2 * 2 + 1]);
}

/// Begins sums(64, width) += weights(64, 64) · b(64, width) as one batch.
template <class B, int n>
__device__ void begin_weighted(float (&sums)[n][4], const Weights& weights, std::uint32_t b) {
#pragma unroll
  for (int k = 0; k < 4; ++k) begin_product(sums, weights[k], B::by_rows(b, k), 1);
  close_products();
}

template <int width>
struct WideForwardTiles {
  using Queries = WideTile<width, wide>;
  using Keys = WideTile<width, block>;
  uint4* q;
  __device__ uint4* k(int j) const { return q + Queries::count + j % 2 * Keys::count; }
  __device__ uint4* v(int j) const { return q + Queries::count + (2 + j % 2) * Keys::count; }
  static constexpr int bytes = (Queries::count + 4 * Keys::count) * 16 + 1024;
};

/// Scores of a block of keys → weights; factor is what earlier sums are worth.
__device__ inline void soften(Sums<64>& scores, bool diagonal, float scale2, Softmax& softmax, float (&factor)[2]) {
  if (diagonal) mask_future(scores);
  softmax.add(scores, scale2, factor);
}

/// Grid: Place of blocks(128) and heads. The longest first.
template <int width>
__global__ void __launch_bounds__(wide_threads, 1) forward_wide(Problem<Bf16> p) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  using Tiles = WideForwardTiles<width>;
  using Keys = typename Tiles::Keys;
  Place at(p.blocks(wide), p.shape.heads);
  at.part = p.blocks(wide) - 1 - at.part;
  const int group = warpgroup(), tiles_of = min(2 * at.part + 2, p.blocks(block)),
            own = 2 * at.part + group, last = min(own, tiles_of - 1);  // blocks of keys; on the diagonal; seen
  const Tiles tiles{aligned_memory(memory)};
  const HeadRows<Bf16> q(p, p.q, at.sequence, at.head), k(p, p.k, at.sequence, at.head / p.group()),
      v(p, p.v, at.sequence, at.head / p.group());
  const auto load = [&](int key, int value) {
    if (key < tiles_of) load_tile<Keys, wide_threads>(tiles.k(key), k, key * block);
    if (value < tiles_of) load_tile<Keys, wide_threads>(tiles.v(value), v, value * block);
    close_batch();
  };
  const auto advance = [&](int j) {  // keys j + 1 and values j are there; what j - 1 needed is free
    await_batches<0>();
    if (j >= 2 * at.part)
      guard_own<Keys, wide_threads>(tiles.v(j), [&](int r) { atomicMin(&poisoned, j * block + r); });
    publish_shared();
    __syncthreads();
    load(j + 2, j + 1);
  };
  load_tile<typename Tiles::Queries, wide_threads>(tiles.q, q, at.part * wide);
  load(0, tiles_of);
  load(1, 0);
  if (threadIdx.x == 0) poisoned = unseen;
  await_batches<1>();
  turn_own<typename Tiles::Queries, wide_threads>(tiles.q, q, at.part * wide);
  publish_shared();
  __syncthreads();
  const std::uint32_t queries = shared_address(tiles.q) + group * 64 * 128;
  const float scale2 = p.scale * log2e;
  Softmax softmax;
  Sums<width> sums;
  Sums<64> scores;
  Weights weights;
  float factor[2];
  clear(sums), clear(scores);
  open_products();
  begin_rows<typename Tiles::Queries, Keys>(scores, queries, shared_address(tiles.k(0)));
  await_products<0>();
  hold(scores);
  soften(scores, own == 0, scale2, softmax, factor);
  pack_weights(weights, scores);
  for (int j = 0; j < last; ++j) {
    advance(j);
    open_products();
    begin_rows<typename Tiles::Queries, Keys>(scores, queries, shared_address(tiles.k(j + 1)));
    begin_weighted<Keys>(sums, weights, shared_address(tiles.v(j)));
    await_products<1>();
    hold(scores);
    soften(scores, j + 1 == own, scale2, softmax, factor);
    await_products<0>();
    hold(sums);
#pragma unroll
    for (int c = 0; c < width / 8; ++c)
      for (int e = 0; e < 4; ++e) sums[c][e] *= factor[e / 2];
    pack_weights(weights, scores);
  }
  advance(last);
  open_products();
  begin_weighted<Keys>(sums, weights, shared_address(tiles.v(last)));
  await_products<0>();
  hold(sums);
  for (int j = last + 1; j < tiles_of; ++j) advance(j);
  __syncthreads();
  finish_forward<width, wide>(p, at, softmax, sums, reinterpret_cast<float*>(tiles.q), poisoned);
}

}  // namespace switchyard::model::causal
