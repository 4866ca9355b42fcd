// Causal attention of bfloat16 backward on Hopper, cut as causal_wide_cuda.hpp and, like causal_backward_cuda.hpp, in
// two kernels without atomics. q and k come rotated.
#pragma once
#include "model/attention/causal_backward_cuda.hpp"
#include "model/attention/causal_wide_cuda.hpp"

namespace switchyard::model::causal {

/// What a thread block of backward_queries_wide works at, 64 queries a warpgroup, and its tiles: q, dout, k of three
/// blocks of keys, v of two.
template <int width>
struct WideBackwardQueries {
  using Queries = WideTile<width, wide>;
  using Keys = WideTile<width, block>;
  static constexpr int bytes = (2 * Queries::count + 5 * Keys::count) * 16 + 1024;
  Place at;
  HeadRows<Bf16> q, dout, k, v;
  uint4* tiles;
  int first, count;  // query; blocks of keys

  __device__ WideBackwardQueries(const Problem<Bf16>& p, const Gradients<Bf16>& g, uint4* memory)
      : at(Place::from_last(p.blocks(wide), p.shape.heads)),
        q(p, p.q, at.sequence, at.head),
        dout(p, g.out, at.sequence, at.head),
        k(p, p.k, at.sequence, at.head / p.group()),
        v(p, p.v, at.sequence, at.head / p.group()),
        tiles(aligned_memory(memory)),
        first(at.part * wide),
        count(min(2 * at.part + 2, p.blocks(block))) {}
  __device__ uint4* douts() const { return tiles + Queries::count; }
  __device__ uint4* keys(int j) const { return tiles + 2 * Queries::count + j % 3 * Keys::count; }
  __device__ uint4* values(int j) const { return tiles + 2 * Queries::count + (3 + j % 2) * Keys::count; }
  __device__ void load(int j) const {
    if (j < count) load_tile<Keys, wide_threads>(keys(j), k, j * block);
    if (j < count) load_tile<Keys, wide_threads>(values(j), v, j * block);
    close_batch();
  }
  /// Begins to load the queries and two blocks of keys.
  __device__ void begin() const {
    load_tile<Queries, wide_threads>(tiles, q, first);
    load_tile<Queries, wide_threads>(douts(), dout, first);
    load(0);
    load(1);
  }
  /// What this thread loaded of block j becomes what all may read.
  __device__ void arrive(int j, int* poisoned) const {
    if (j * block >= first && j < count)
      guard_own<Keys, wide_threads>(keys(j), [&](int r) { atomicMin(poisoned, j * block + r); });
    publish_shared();
    __syncthreads();
  }
  /// Block j + 1 is there, and what j - 1 needed is free. As often in all warps.
  __device__ void advance(int j, int* poisoned) const {
    await_batches<0>();
    arrive(j + 1, poisoned);
    load(j + 2);
  }
  /// Begins scores and products dout·v of block j, a batch each.
  __device__ void begin_scores(int j, Sums<64>& scores, Sums<64>& products) const {
    const int group = warpgroup() * 64 * 128;
    begin_rows<Queries, Keys>(scores, shared_address(tiles) + group, shared_address(keys(j)));
    begin_rows<Queries, Keys>(products, shared_address(douts()) + group, shared_address(values(j)));
  }
};

/// dq, and Σ dout·out. Grid: Place of blocks(128) and heads.
template <int width>
__global__ void __launch_bounds__(wide_threads, 1) backward_queries_wide(Problem<Bf16> p, Gradients<Bf16> g) {
  p.vectors = true;  // no others come here, and need no code
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  __shared__ float deltas[wide];
  using Keys = typename WideBackwardQueries<width>::Keys;
  const WideBackwardQueries<width> of(p, g, memory);
  const int own = 2 * of.at.part + warpgroup(), last = min(own, of.count - 1);  // on the diagonal; seen
  gpu::await_before();
  gpu::let_next_come();
  of.begin();
  make_delta<width, wide>(of.dout, {p, p.out, of.at.sequence, of.at.head}, of.first,
                          g.delta + statistic(p, of.at.sequence, of.at.head), deltas);
  if (threadIdx.x == 0) poisoned = unseen;
  __syncthreads();
  await_batches<1>();
  of.arrive(0, &poisoned);
  const QueryStatistics rows(p, of.at, of.first, deltas);
  const float scale2 = p.scale * log2e;
  Sums<width> sums;
  Sums<64> scores, products;
  Weights weights;
  clear(sums);
  open_products();
  of.begin_scores(0, scores, products);
  await_products<0>(scores, products);
  if (own == 0) mask_future(scores);
  score_gradients(scores, products, rows, scale2);
  pack_weights(weights, scores);
  for (int j = 0; j < last; ++j) {
    of.advance(j, &poisoned);
    open_products(sums, weights);
    of.begin_scores(j + 1, scores, products);
    begin_weighted<Keys>(sums, weights, shared_address(of.keys(j)));
    await_products<1>(scores, products);
    if (j + 1 == own) mask_future(scores);
    score_gradients(scores, products, rows, scale2);
    hold(scores);  // made while products run, not after they were awaited
    stay_before(of.count);
    await_products<0>(sums, weights, scores);
    pack_weights(weights, scores);
  }
  of.advance(last, &poisoned);
  open_products(sums, weights);
  begin_weighted<Keys>(sums, weights, shared_address(of.keys(last)));
  await_products<0>(sums, weights);
  for (int j = last + 1; j < of.count; ++j) of.advance(j, &poisoned);
  __syncthreads();
  finish_queries<width, wide>(p, {p, g.q, of.at.sequence, of.at.head}, of.first, sums,
                              reinterpret_cast<float*>(of.tiles), poisoned);
}

/// The tiles of backward_keys_wide: k, v, and q, dout and statistics of three blocks of queries.
template <int width>
struct WideBackwardKeys : KeyWork {
  using Keys = WideTile<width, wide>;
  using Queries = WideTile<width, block>;
  static constexpr int bytes = (2 * Keys::count + 6 * Queries::count) * 16 + 6 * block * 4 + 1024;
  const Problem<Bf16>& p;
  const Gradients<Bf16>& g;
  uint4* tiles;

  __device__ WideBackwardKeys(const Problem<Bf16>& problem, const Gradients<Bf16>& gradients, uint4* memory)
      : KeyWork(problem, wide), p(problem), g(gradients), tiles(aligned_memory(memory)) {}
  __device__ uint4* values() const { return tiles + Keys::count; }
  __device__ uint4* queries(int it) const { return tiles + 2 * Keys::count + it % 3 * Queries::count; }
  __device__ uint4* douts(int it) const { return tiles + 2 * Keys::count + (3 + it % 3) * Queries::count; }
  /// log_sum of 64 queries, then their delta.
  __device__ float* statistics(int it) const {
    return reinterpret_cast<float*>(tiles + 2 * Keys::count + 6 * Queries::count) + it % 3 * 2 * block;
  }
  __device__ void load(int it) const {
    if (it < count) {
      load_tile<Queries, wide_threads>(queries(it), {p, p.q, at.sequence, head(p, it)}, query(it));
      load_tile<Queries, wide_threads>(douts(it), {p, g.out, at.sequence, head(p, it)}, query(it));
      load_statistics(statistics(it), p, g.delta, at.sequence, head(p, it), query(it));
    }
    close_batch();
  }
  /// Block `it` of queries is there; the next one goes where it - 2 was, whose products all threads have awaited.
  __device__ void advance(int it, int* poisoned) const {
    const auto poison = [&](int r) { atomicMax(poisoned, query(it) + r); };
    await_batches<0>();
    if (query(it) < first + wide) guard_own<Queries, wide_threads>(queries(it), poison);
    if (query(it) < first + wide) guard_own<Queries, wide_threads>(douts(it), poison);
    publish_shared();
    __syncthreads();
    load(it + 1);
  }
  /// Begins scores (key, query) and products v·dout, a batch each.
  __device__ void begin_scores(int it, Sums<64>& scores, Sums<64>& products) const {
    const int group = warpgroup() * 64 * 128;
    begin_rows<Keys, Queries>(scores, shared_address(tiles) + group, shared_address(queries(it)));
    begin_rows<Keys, Queries>(products, shared_address(values()) + group, shared_address(douts(it)));
  }
  /// Probabilities and products → gradients of the scaled scores; both 0 where masked.
  __device__ void make_gradients(int it, Sums<64>& scores, Sums<64>& products) const {
    key_gradients(products, scores, statistics(it) + block);
    const int ahead = query(it) - first - warpgroup() * 64;
    if (query(it) < first + wide) mask_past(scores, ahead), mask_past(products, ahead);
  }
};

/// dk and dv of a key head: its query heads in order, and the queries of each in order. Grid: Place of blocks(128) and
/// kv_heads. Products of one block of queries run while the gradients of the next are made; weights are packed while
/// none runs, or they would run one after another.
template <int width>
__global__ void __launch_bounds__(wide_threads, 1) backward_keys_wide(Problem<Bf16> p, Gradients<Bf16> g) {
  p.vectors = true;  // no others come here, and need no code
  extern __shared__ uint4 memory[];
  __shared__ int poisoned;
  using Queries = typename WideBackwardKeys<width>::Queries;
  using Keys = typename WideBackwardKeys<width>::Keys;
  const WideBackwardKeys<width> of(p, g, memory);
  gpu::await_before();
  gpu::let_next_come();
  load_tile<Keys, wide_threads>(of.tiles, {p, p.k, of.at.sequence, of.at.head}, of.first);
  load_tile<Keys, wide_threads>(of.values(), {p, p.v, of.at.sequence, of.at.head}, of.first);
  of.load(0);
  if (threadIdx.x == 0) poisoned = -1;
  __syncthreads();
  const float scale2 = p.scale * log2e;
  Sums<width> dk, dv;
  Sums<64> scores, products;
  Weights weights, gradients;
  clear(dk), clear(dv);
  of.advance(0, &poisoned);
  open_products();
  of.begin_scores(0, scores, products);
  await_products<0>(scores, products);
  key_probabilities(scores, of.statistics(0), scale2);
  of.make_gradients(0, scores, products);
  pack_weights(weights, scores), pack_weights(gradients, products);
  for (int it = 1; it < of.count; ++it) {
    of.advance(it, &poisoned);
    open_products(dk, dv, weights, gradients);
    of.begin_scores(it, scores, products);
    begin_weighted<Queries>(dv, weights, shared_address(of.douts(it - 1)));
    begin_weighted<Queries>(dk, gradients, shared_address(of.queries(it - 1)));
    await_products<3>(scores);
    key_probabilities(scores, of.statistics(it), scale2);
    hold(scores);
    await_products<2>(products);
    of.make_gradients(it, scores, products);
    hold(scores), hold(products);
    await_products<0>(dk, dv, weights, gradients, scores, products);
    pack_weights(weights, scores), pack_weights(gradients, products);
  }
  open_products(dk, dv, weights, gradients);
  begin_weighted<Queries>(dv, weights, shared_address(of.douts(of.count - 1)));
  begin_weighted<Queries>(dk, gradients, shared_address(of.queries(of.count - 1)));
  await_products<0>(dk, dv, weights, gradients);
  __syncthreads();
  finish_keys<width, wide>(p, g, of, dk, dv, reinterpret_cast<float*>(of.tiles), poisoned);
}

}  // namespace switchyard::model::causal
