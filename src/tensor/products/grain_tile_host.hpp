// The register tile of weight gradients: one chain a grain, the grains added along the tree of base/tree.hpp while the
// tile is in registers or cache. Private to weight_gradient_host.cpp.
#pragma once
#include <cstddef>
#include <span>

#include "tensor/products/pack_host.hpp"

namespace switchyard::products {

using simd::Index;
using simd::panel_width;
using simd::tile_rows;

constexpr Index a_width = tile_rows > 8 ? 16 : 8;  // floats of one row in a packed panel of dY
constexpr Index tile_floats = tile_rows * panel_width;
static_assert(a_width >= tile_rows);

/// Consecutive rows of one grain, and what follows them.
struct Piece {
  Index rows;
  bool first, last;  ///< of their grain
  bool absent;       ///< a grain of the node that is complete then has no rows
  int merges;        ///< tree additions after the grain
  int node;          ///< that is complete then; −1 for none
};

/// A stack of finished subtrees and an unfinished chain, for one tile; level l at stack + l·level.
struct State {
  float* chain;
  float* stack;
  Index level;
  int height;
};

/// Where a tile of dW lies: rows of `stride` floats, `columns` of them valid, nodes `node_stride` apart.
struct Target {
  float* data;
  Index stride, node_stride;
  int columns;
  bool stream;  ///< past the caches
};

template <int R, int V>
[[gnu::always_inline]] inline void write_tile(const simd::Tile<R, V>& sum, const Target& target, int node) {
  float* out = target.data + node * target.node_stride;
  if (target.stream) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) simd::stream(out + r * target.stride + v * simd::width, sum[r][v]);
    return;
  }
  if (target.columns == V * simd::width) return simd::store_rows<R, V>(sum, out, target.stride, false);
  alignas(64) float ragged[tile_floats];
  simd::store_rows<R, V>(sum, ragged, panel_width, false);
  simd::unpack(ragged, R, target.columns, out, target.stride, false);
}

/// sum = top of the stack + sum.
template <int R, int V>
[[gnu::always_inline]] inline void merge(simd::Tile<R, V>& sum, const float* left) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[r][v] = simd::load(left + r * panel_width + v * simd::width) + sum[r][v];
}

/// What a tile asks for while it works: a line every `together` rows, `step` bytes apart.
struct Ahead {
  const std::byte* data;
  Index step;
};

constexpr Index together = 8;  // rows packed, and steps made, in one go

/// `rows` steps of a tile on packed panels.
template <int R, int V>
[[gnu::always_inline]] inline void accumulate(simd::Tile<R, V>& sum, Index rows, const float*& a, const float*& b,
                                              Ahead& ahead) {
  for (; rows >= together; rows -= together) {
#pragma GCC unroll 8
    for (Index s = 0; s < together; ++s) simd::step<R, V>(sum, a + s * a_width, 1, b + s * panel_width);
    __builtin_prefetch(ahead.data, 0, 2);
    a += together * a_width, b += together * panel_width, ahead.data += ahead.step;
  }
  for (; rows > 0; --rows, a += a_width, b += panel_width) simd::step<R, V>(sum, a, 1, b);
}

/// All pieces of a chunk for one tile.
struct TileWork {
  std::span<const Piece> pieces;
  const float *a, *b;  ///< its packed panels
  Ahead ahead;
};

/// sum + 0: turns each −0 into +0.
template <int R, int V>
[[gnu::always_inline]] inline void add_zero(simd::Tile<R, V>& sum) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[r][v] = sum[r][v] + simd::Vec{};
}

/// All that has the tile is inlined: a call that took its address would keep it in memory, and every piece would be
/// cleared and stored there.
template <int R, int V>
void grain_tile(const TileWork& work, const State& state, const Target& target) {
  const float *a = work.a, *b = work.b;
  Ahead ahead = work.ahead;
  float* top = state.stack + state.height * state.level;
  for (const Piece& piece : work.pieces) {
    simd::Tile<R, V> sum;
    simd::clear<R, V>(sum);
    if (!piece.first) simd::load_rows<R, V>(sum, state.chain);
    accumulate<R, V>(sum, piece.rows, a, b, ahead);
    if (!piece.last) return simd::store_rows<R, V>(sum, state.chain, panel_width, false);
    for (int m = 0; m < piece.merges; ++m) merge<R, V>(sum, top -= state.level);
    if (piece.node >= 0) {
      if (piece.absent) add_zero<R, V>(sum);
      write_tile<R, V>(sum, target, piece.node);
    } else {
      simd::store_rows<R, V>(sum, top, panel_width, false);
      top += state.level;
    }
  }
}

using GrainTile = void (*)(const TileWork&, const State&, const Target&);

template <int V, int... R>
constexpr std::array<GrainTile, sizeof...(R)> grain_tiles(std::integer_sequence<int, R...>) {
  return {&grain_tile<R + 1, V>...};
}

}  // namespace switchyard::products
