// Causal attention of bfloat16 backward on Hopper, cut as causal_wide_cuda.hpp and, like causal_backward_cuda.hpp, in two
// kernels without atomics. q and k come rotated.
#pragma once
#include "model/attention/causal_backward_cuda.hpp"
#include "model/attention/causal_wide_cuda.hpp"

namespace switchyard::model::causal {

template <int width>
struct WideQueryTiles {
  using Queries = WideTile<width, wide>;
  using Keys = WideTile<width, block>;
  uint4* q;
  __device__ uint4* dout() const { return q + Queries::count; }
  __device__ uint4* k(int j) const { return q + 2 * Queries::count + j % 3 * Keys::count; }
  __device__ uint4* v(int j) const { return q + 2 * Queries::count + (3 + j % 2) * Keys::count; }
  static constexpr int bytes = (2 * Queries::count + 5 * Keys::count) * 16 + 1024;
};

/// dq, and Σ dout·out. Grid: Place of blocks(128) and heads. The longest first.
template <int width>
__global__ void __launch_bounds__(wide_threads, 1) backward_queries_wide(Problem<Bf16> p, Gradients<Bf16> g) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  __shared__ float deltas[wide];
  using Tiles = WideQueryTiles<width>;
  using Queries = typename Tiles::Queries;
  using Keys = typename Tiles::Keys;
  Place at(p.blocks(wide), p.shape.heads);
  at.part = p.blocks(wide) - 1 - at.part;
  const int first = at.part * wide, kv = at.head / p.group(), group = warpgroup(),
            tiles_of = min(2 * at.part + 2, p.blocks(block)), own = 2 * at.part + group, last = min(own, tiles_of - 1);
  const Tiles tiles{aligned_memory(memory)};
  const HeadRows<Bf16> q(p, p.q, at.sequence, at.head), dout(p, g.out, at.sequence, at.head),
      k(p, p.k, at.sequence, kv), v(p, p.v, at.sequence, kv);
  const auto load = [&](int j) {
    if (j < tiles_of) load_tile<Keys, wide_threads>(tiles.k(j), k, j * block);
    if (j < tiles_of) load_tile<Keys, wide_threads>(tiles.v(j), v, j * block);
    close_batch();
  };
  const auto arrive = [&](int j) {  // what this thread loaded of block j is there
    if (j >= 2 * at.part && j < tiles_of)
      guard_own<Keys, wide_threads>(tiles.k(j), [&](int r) { atomicMin(&poisoned, j * block + r); });
    publish_shared();
    __syncthreads();
  };
  const auto advance = [&](int j) {  // block j + 1 is there; what j - 1 needed is free
    await_batches<0>();
    arrive(j + 1);
    load(j + 2);
  };
  load_tile<Queries, wide_threads>(tiles.q, q, first);
  load_tile<Queries, wide_threads>(tiles.dout(), dout, first);
  load(0);
  load(1);
  make_delta<width, wide>(dout, {p, p.out, at.sequence, at.head}, first, g.delta + statistic(p, at.sequence, at.head),
                          deltas);
  if (threadIdx.x == 0) poisoned = unseen;
  __syncthreads();
  await_batches<1>();
  arrive(0);
  const QueryStatistics of(p, at, first, deltas);
  const std::uint32_t queries = shared_address(tiles.q) + group * 64 * 128,
                      douts = shared_address(tiles.dout()) + group * 64 * 128;
  const float scale2 = p.scale * log2e;
  Sums<width> sums;
  Sums<64> scores, products;
  Weights weights;
  clear(sums), clear(scores), clear(products);
  open_products();
  begin_rows<Queries, Keys>(scores, queries, shared_address(tiles.k(0)));
  begin_rows<Queries, Keys>(products, douts, shared_address(tiles.v(0)));
  await_products<0>();
  hold(scores), hold(products);
  if (own == 0) mask_future(scores);
  score_gradients(scores, products, of, scale2);
  pack_weights(weights, scores);
  for (int j = 0; j < last; ++j) {
    advance(j);
    open_products();
    begin_rows<Queries, Keys>(scores, queries, shared_address(tiles.k(j + 1)));
    begin_rows<Queries, Keys>(products, douts, shared_address(tiles.v(j + 1)));
    begin_weighted<Keys>(sums, weights, shared_address(tiles.k(j)));
    await_products<1>();
    hold(scores), hold(products);
    if (j + 1 == own) mask_future(scores);
    score_gradients(scores, products, of, scale2);
    await_products<0>();
    hold(sums);
    pack_weights(weights, scores);
  }
  advance(last);
  open_products();
  begin_weighted<Keys>(sums, weights, shared_address(tiles.k(last)));
  await_products<0>();
  hold(sums);
  for (int j = last + 1; j < tiles_of; ++j) advance(j);
  __syncthreads();
  const int warp_row = threadIdx.x / 32 * 16, row = first + warp_row + threadIdx.x % 32 / 4;
  const float2 factor = {row >= poisoned ? NAN : p.scale, row + 8 >= poisoned ? NAN : p.scale};
  auto* staging = reinterpret_cast<float*>(tiles.q);
  stage<width>(staging, sums, factor, warp_row, 0);
  __syncthreads();
  write_tile<width, wide>(staging, {p, g.q, at.sequence, at.head}, first);
}

template <int width>
struct WideKeyTiles {
  using Keys = WideTile<width, wide>;
  using Queries = WideTile<width, block>;
  uint4* k;
  __device__ uint4* v() const { return k + Keys::count; }
  __device__ uint4* q(int it) const { return k + 2 * Keys::count + it % 3 * Queries::count; }
  __device__ uint4* dout(int it) const { return k + 2 * Keys::count + (3 + it % 3) * Queries::count; }
  /// log_sum of 64 queries, then their delta.
  __device__ float* statistics(int it) const {
    return reinterpret_cast<float*>(k + 2 * Keys::count + 6 * Queries::count) + it % 3 * 2 * block;
  }
  static constexpr int bytes = (2 * Keys::count + 6 * Queries::count) * 16 + 6 * block * 4 + 1024;
};

/// dk and dv of a key head: its query heads in order, and the queries of each in order. Grid: Place of blocks(128) and
/// kv_heads. The longest first.
template <int width>
__global__ void __launch_bounds__(wide_threads, 1) backward_keys_wide(Problem<Bf16> p, Gradients<Bf16> g) {
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;  // keys up to here belong to masked queries that are not finite
  using Tiles = WideKeyTiles<width>;
  using Keys = typename Tiles::Keys;
  using Queries = typename Tiles::Queries;
  const Place at(p.blocks(wide), p.shape.kv_heads);
  const int first = at.part * wide, group = warpgroup(), each = p.blocks(block) - 2 * at.part,
            count = each * p.group();
  const Tiles tiles{aligned_memory(memory)};
  const auto load = [&](int it) {
    if (it < count) {
      const int head = at.head * p.group() + it / each, from = first + it % each * block;
      load_tile<Queries, wide_threads>(tiles.q(it), {p, p.q, at.sequence, head}, from);
      load_tile<Queries, wide_threads>(tiles.dout(it), {p, g.out, at.sequence, head}, from);
      load_statistics(tiles.statistics(it), p, g.delta, at.sequence, head, from);
    }
    close_batch();
  };
  load_tile<Keys, wide_threads>(tiles.k, {p, p.k, at.sequence, at.head}, first);
  load_tile<Keys, wide_threads>(tiles.v(), {p, p.v, at.sequence, at.head}, first);
  load(0);
  if (threadIdx.x == 0) poisoned = -1;
  __syncthreads();
  const std::uint32_t keys = shared_address(tiles.k) + group * 64 * 128,
                      values = shared_address(tiles.v()) + group * 64 * 128;
  const float scale2 = p.scale * log2e;
  Sums<width> dk, dv;
  Sums<64> scores, products;
  Weights weights, gradients;
  clear(dk), clear(dv), clear(scores), clear(products);
  for (int it = 0; it < count; ++it) {
    const int local = it % each, ahead = (local - group) * block;
    const auto poison = [&](int r) { atomicMax(&poisoned, first + local * block + r); };
    await_batches<0>();
    if (local < 2) {
      guard_own<Queries, wide_threads>(tiles.q(it), poison);
      guard_own<Queries, wide_threads>(tiles.dout(it), poison);
    }
    publish_shared();
    __syncthreads();
    load(it + 1);  // where it - 2 was, whose products all threads have awaited
    open_products();
    begin_rows<Keys, Queries>(scores, keys, shared_address(tiles.q(it)));
    begin_rows<Keys, Queries>(products, values, shared_address(tiles.dout(it)));
    await_products<1>();
    hold(scores);
    key_probabilities(scores, tiles.statistics(it), scale2);
    if (local < 2) mask_past(scores, ahead);
    pack_weights(weights, scores);
    open_products();
    begin_weighted<Queries>(dv, weights, shared_address(tiles.dout(it)));
    await_products<1>();
    hold(products);
    key_gradients(products, scores, tiles.statistics(it) + block);
    if (local < 2) mask_past(products, ahead);
    pack_weights(gradients, products);
    open_products();
    begin_weighted<Queries>(dk, gradients, shared_address(tiles.q(it)));
  }
  await_products<0>();
  hold(dk), hold(dv);
  __syncthreads();
  const int warp_row = threadIdx.x / 32 * 16, row = first + warp_row + threadIdx.x % 32 / 4;
  const float low = row <= poisoned ? NAN : 1.0f, high = row + 8 <= poisoned ? NAN : 1.0f;
  auto* staging = reinterpret_cast<float*>(tiles.k);
  stage<width>(staging, dv, {low, high}, warp_row, 0);
  __syncthreads();
  write_tile<width, wide>(staging, {p, g.v, at.sequence, at.head}, first);
  __syncthreads();
  stage<width>(staging, dk, {low * p.scale, high * p.scale}, warp_row, 0);
  __syncthreads();
  write_tile<width, wide>(staging, {p, g.k, at.sequence, at.head}, first);
}

}  // namespace switchyard::model::causal
