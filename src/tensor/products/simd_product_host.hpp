// The register tile of all products on the host: R rows by V vectors of sums, each element one fma chain over the
// summed index. Every product differs only in where the operands lie and where the tile goes.
#pragma once
#include <array>
#include <cstdint>

#include "tensor/simd_host.hpp"

namespace switchyard::simd {

using Index = std::int64_t;

constexpr int panel_width = 2 * width;  ///< columns of a packed panel and of a full tile

/// One tile: sum(r, j) = start(r, j) or +0, then fma over s ascending of a[r·a_row + s·a_step] · b[s·b_step + j].
struct Chain {
  Index depth;
  const float* a;
  Index a_row, a_step;
  const float* b;
  Index b_step;
  const float* ahead;  ///< fetched into cache meanwhile, one line a step: what is used next (any address is allowed)
  Index ahead_step;
};

/// Where a tile begins and ends: `start` is null or a tile with rows of panel_width; results go to rows of `out`, or,
/// where `transposed`, to columns of it: element (r, j) to out[j·stride + r] for j < columns.
struct Ends {
  const float* start;
  float* out;
  Index stride;
  bool add, transposed;
  int columns;
};

template <int R, int V>
using Tile = Vec[R][V];

template <int R, int V>
[[gnu::always_inline]] inline void clear(Tile<R, V>& sum) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[r][v] = Vec{};
}

template <int R, int V>
[[gnu::always_inline]] inline void load_rows(Tile<R, V>& sum, const float* start) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[r][v] = load(start + r * panel_width + v * width);
}

/// One step of the summed index: sum(r, ·) += a[r·a_row] · b[·].
template <int R, int V>
[[gnu::always_inline]] inline void step(Tile<R, V>& sum, const float* a, Index a_row, const float* b) {
  Vec column[V];
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) column[v] = load(b + v * width);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Vec row = broadcast(a[r * a_row]);
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[r][v] = fma(row, column[v], sum[r][v]);
  }
}

constexpr Index unrolled = 4;  // steps of one iteration: a processor that two threads share issues too few instructions
                               // to spend them on counting

/// `unrolled` steps, rows of A one float a step. The empty asm keep the compiler from folding loads into every
/// multiply-add, and from computing more addresses than it has registers for.
template <int R, int V>
[[gnu::always_inline]] inline void steps(Tile<R, V>& sum, const float* a, Index a_row, const float* b) {
  const float* low = a + 3 * a_row;
  Index two_rows = 2 * a_row;
  asm("" : "+r"(low), "+r"(a_row), "+r"(two_rows));
#pragma GCC unroll 4
  for (Index u = 0; u < unrolled; ++u) {
    Vec column[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      column[v] = load(b + u * panel_width + v * width);
      asm("" : "+x"(column[v]));
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const float* row = (r < 3 ? a : low) + (r % 3 == 1 ? a_row : r % 3 == 2 ? two_rows : 0);
      const Vec value = broadcast(row[u]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = fma(value, column[v], sum[r][v]);
    }
  }
}

/// The chain with strides that the compiler knows, `unrolled` steps at a time; returns how many steps were made.
template <int R, int V>
[[gnu::always_inline]] inline Index accumulate_packed(Tile<R, V>& sum, const Chain& c) {
  const float *a = c.a, *b = c.b, *ahead = c.ahead;
  const Index a_row = c.a_row, ahead_step = unrolled * c.ahead_step;
  for (Index s = c.depth / unrolled; s > 0; --s) {
    steps<R, V>(sum, a, a_row, b);
    __builtin_prefetch(ahead);
    a += unrolled;
    b += unrolled * panel_width;
    ahead += ahead_step;
  }
  return c.depth / unrolled * unrolled;
}

template <int R, int V>
[[gnu::always_inline]] inline void accumulate(Tile<R, V>& sum, const Chain& c) {
  const bool packed = c.a_step == 1 && c.b_step == panel_width && unrolled * c.ahead_step <= 16;  // floats of a line
  Index done = 0;
  if constexpr (R <= 6)
    if (packed) done = accumulate_packed<R, V>(sum, c);
  const Index a_row = c.a_row, a_step = c.a_step, b_step = c.b_step, ahead_step = c.ahead_step;
  const float *a = c.a + done * a_step, *b = c.b + done * b_step, *ahead = c.ahead + done * ahead_step;
  for (Index s = c.depth - done; s > 0; --s) {
    step<R, V>(sum, a, a_row, b);
    __builtin_prefetch(ahead);
    a += a_step;
    b += b_step;
    ahead += ahead_step;
  }
}

template <int R, int V>
[[gnu::always_inline]] inline void store_rows(const Tile<R, V>& sum, float* out, Index stride, bool add) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      float* p = out + r * stride + v * width;
      store(p, add ? load(p) + sum[r][v] : sum[r][v]);
    }
}

/// Stores the columns of `tile`, R rows of panel_width floats, as rows of R floats, transposed in registers.
template <int R>
[[gnu::noinline]] void store_columns(const float* tile, int vectors, const Ends& e) {
  for (int v = 0; v < vectors; ++v) {
    Vec block[width] = {};
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) block[r] = load(tile + r * panel_width + v * width);
    transpose(block);
    for (int l = 0; l < width && v * width + l < e.columns; ++l) {
      float* p = e.out + (v * width + l) * e.stride;
      if (e.add)
        for (int r = 0; r < R; ++r) p[r] += block[l][r];
      else
        std::memcpy(p, &block[l], R * sizeof(float));
    }
  }
}

template <int R, int V>
void tile(const Chain& chain, const Ends& ends) {
  Tile<R, V> sum;
  if (ends.start)
    load_rows<R, V>(sum, ends.start);
  else
    clear<R, V>(sum);
  accumulate<R, V>(sum, chain);
  if (!ends.transposed) return store_rows<R, V>(sum, ends.out, ends.stride, ends.add);
  alignas(64) float rows[R * panel_width];
  store_rows<R, V>(sum, rows, panel_width, false);
  store_columns<R>(rows, V, ends);
}

using TileFunction = void (*)(const Chain&, const Ends&);

template <int V, int... R>
constexpr std::array<TileFunction, sizeof...(R)> tile_table(std::integer_sequence<int, R...>) {
  return {&tile<R + 1, V>...};
}

/// Runs a tile of 1 … tile_rows rows and one or two vectors.
inline void run_tile(int rows, int vectors, const Chain& chain, const Ends& ends) {
  static constexpr auto one = tile_table<1>(std::make_integer_sequence<int, tile_rows>());
  static constexpr auto two = tile_table<2>(std::make_integer_sequence<int, tile_rows>());
  (vectors == 1 ? one : two)[rows - 1](chain, ends);
}

}  // namespace switchyard::simd
