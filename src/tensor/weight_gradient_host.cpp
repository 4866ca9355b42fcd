// Weight gradients on the CPU: per tile of the result one chain a grain, added along the tree of base/tree.hpp while
// the tile is in registers or cache; partial sums never exist as whole matrices.
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <bit>
#include <vector>

#include "tensor/blas.hpp"
#include "tensor/pack_host.hpp"
#include "tensor/types.hpp"

namespace switchyard::blas {
namespace {

using simd::Chain;
using simd::panel_width;
using simd::tile_rows;

constexpr Index chunk_rows = 256;          // rows packed at a time
constexpr Index block_n = 16 * tile_rows;  // block of dW of one item, where a group has many rows
constexpr Index block_k = 8 * panel_width;
constexpr Index packed_floats = Index{1} << 16;    // panels of an item whose group has few rows
constexpr Index a_width = tile_rows > 8 ? 16 : 8;  // floats of one row in a packed panel of dY
constexpr Index tile_floats = tile_rows * panel_width;
static_assert(a_width >= tile_rows);

/// Consecutive rows of one grain, and what follows them.
struct Segment {
  Index rows;
  bool first, last;  ///< of their grain
  int merges;        ///< tree additions after the grain
  int node;          ///< that is complete then; −1 for none
};

/// The segments of rows [begin, end) of one group, at most chunk_rows of them; grains without rows are segments too.
struct Chunk {
  Index begin, end;
  std::vector<Segment> segments;
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
};

template <int R, int V>
void write_tile(const simd::Tile<R, V>& sum, const Target& target, int node) {
  float* out = target.data + node * target.node_stride;
  if (target.columns == V * simd::width) return simd::store_rows<R, V>(sum, out, target.stride, false);
  alignas(64) float ragged[tile_floats];
  simd::store_rows<R, V>(sum, ragged, panel_width, false);
  simd::unpack(ragged, R, target.columns, out, target.stride, false);
}

/// All segments of a chunk for one tile. `chain` gives the packed operands; its depth is not used.
template <int R, int V>
void grain_tile(const std::vector<Segment>& segments, Chain chain, const State& state, const Target& target) {
  int height = state.height;
  for (const Segment& segment : segments) {
    simd::Tile<R, V> sum;
    simd::begin<R, V>(sum, segment.first ? nullptr : state.chain);
    chain.depth = segment.rows;
    simd::accumulate<R, V>(sum, chain);
    chain.a += segment.rows * chain.a_step;
    chain.b += segment.rows * chain.b_step;
    if (!segment.last) {
      simd::store_rows<R, V>(sum, state.chain, panel_width, false);
      return;
    }
    for (int m = 0; m < segment.merges; ++m) {
      const float* left = state.stack + --height * state.level;
      for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) sum[r][v] = simd::load(left + r * panel_width + v * simd::width) + sum[r][v];
    }
    if (segment.node < 0)
      simd::store_rows<R, V>(sum, state.stack + height++ * state.level, panel_width, false);
    else
      write_tile<R, V>(sum, target, segment.node);
  }
}

using GrainTile = void (*)(const std::vector<Segment>&, Chain, const State&, const Target&);

template <int V, int... R>
constexpr std::array<GrainTile, sizeof...(R)> grain_tiles(std::integer_sequence<int, R...>) {
  return {&grain_tile<R + 1, V>...};
}

/// One item: rows [n0, n0+n) and columns [k0, k0+k) of dW of one group.
struct Item {
  int group;
  Index n0, n, k0, k;
};

struct Problem {
  GrainGroups groups;
  Index n, k;
  const float *dy, *x;
  float* dw;
  Index node_stride;
};

/// Splits the rows of a group into chunks. `chunks` is cleared first.
void make_chunks(const GrainGroups& groups, int group, std::vector<Chunk>& chunks) {
  const Index* offsets = groups.offsets + Index{group} * groups.grains;
  chunks.assign(1, {offsets[0], offsets[0], {}});
  int grain = 0;
  for (std::size_t t = 0; t < groups.nodes->size(); ++t)
    for (int leaf = 0; leaf < (*groups.nodes)[t].size; ++leaf, ++grain) {
      const int merges = std::countr_one(static_cast<unsigned>(leaf));
      const int node = leaf + 1 == (*groups.nodes)[t].size ? static_cast<int>(t) : -1;
      bool first = true, last = false;
      for (Index row = offsets[grain]; !last; first = false) {
        if (chunks.back().end - chunks.back().begin == chunk_rows) chunks.push_back({row, row, {}});
        Chunk& chunk = chunks.back();
        const Index rows = std::min(offsets[grain + 1] - row, chunk_rows - (chunk.end - chunk.begin));
        row += rows, chunk.end += rows;
        last = row == offsets[grain + 1];
        chunk.segments.push_back({rows, first, last, merges, node});
      }
    }
}

/// Packs rows [chunk.begin, chunk.end) of the item's columns of dY, one panel a tile.
void pack_dy(const Problem& p, const Item& item, const Chunk& chunk, float* panel) {
  const Index tiles = simd::tile_count(item.n), rows = chunk.end - chunk.begin;
  for (Index t = 0; t < tiles; ++t, panel += rows * a_width) {
    const Index column = item.n0 + simd::tile_row(item.n, tiles, t);
    const Index columns = item.n0 + simd::tile_row(item.n, tiles, t + 1) - column;
    const float* dy = p.dy + chunk.begin * p.n + column;
    if (column + a_width <= p.n)
      for (Index s = 0; s < rows; ++s) std::memcpy(panel + s * a_width, dy + s * p.n, a_width * sizeof(float));
    else
      for (Index s = 0; s < rows; ++s) std::copy_n(dy + s * p.n, columns, panel + s * a_width);
  }
}

/// What one thread keeps while it works on an item.
struct Memory {
  simd::Scratch floats;
  std::vector<Chunk> chunks;
};

/// All tiles of an item for one chunk. `tile_state` is the distance of the states of two tiles: 0 where they may share
/// one.
void chunk_tiles(const Problem& p, const Item& item, const Chunk& chunk, float* a, float* b, State state,
                 Index tile_state) {
  static constexpr auto one = grain_tiles<1>(std::make_integer_sequence<int, tile_rows>());
  static constexpr auto two = grain_tiles<2>(std::make_integer_sequence<int, tile_rows>());
  const Index tiles = simd::tile_count(item.n), rows = chunk.end - chunk.begin;
  for (Index k = 0; k < item.k; k += panel_width) {
    const int columns = static_cast<int>(std::min<Index>(panel_width, item.k - k));
    simd::pack_rows(p.x + chunk.begin * p.k + item.k0 + k, p.k, rows, columns, b);
    for (Index t = 0; t < tiles; ++t) {
      const Index n = simd::tile_row(item.n, tiles, t);
      const auto height = static_cast<int>(simd::tile_row(item.n, tiles, t + 1) - n);
      float* out = p.dw + (item.group * p.n + item.n0 + n) * p.k + item.k0 + k;
      (columns <= simd::width ? one : two)[height - 1](chunk.segments,
                                                       {0, a + t * rows * a_width, 1, a_width, b, panel_width}, state,
                                                       {out, p.k, p.node_stride, columns});
      state.chain += tile_state, state.stack += tile_state;
    }
  }
}

void block_gradient(const Problem& p, const Item& item, Memory& memory) {
  make_chunks(p.groups, item.group, memory.chunks);
  const Index tiles = simd::tile_count(item.n), all = tiles * ((item.k + panel_width - 1) / panel_width);
  const Index most = std::min(chunk_rows, memory.chunks.back().end - memory.chunks.front().begin);
  const Index a_floats = most * tiles * a_width, b_floats = most * panel_width;
  const Index tile_state = memory.chunks.size() > 1 ? tile_floats : 0,
              level = tile_state > 0 ? all * tile_floats : tile_floats;
  const Index levels = 2 + std::bit_width(static_cast<unsigned>(p.groups.grains));
  float* a = memory.floats.floats(a_floats + b_floats + levels * level);
  float* b = a + a_floats;
  State state{b + b_floats, b + b_floats + level, level, 0};
  for (const Chunk& chunk : memory.chunks) {
    pack_dy(p, item, chunk, a);
    chunk_tiles(p, item, chunk, a, b, state, tile_state);
    for (const Segment& s : chunk.segments)
      if (s.last) state.height += (s.node < 0 ? 1 : 0) - s.merges;
  }
}

/// Blocks of dW: large where a group has few rows, since the panels are small then.
void cut(const Problem& p, std::vector<Item>& items) {
  items.clear();
  for (int e = 0; e < p.groups.count; ++e) {
    const Index* offsets = p.groups.offsets + Index{e} * p.groups.grains;
    const Index rows = std::max<Index>(1, offsets[p.groups.grains] - offsets[0]);
    const Index roomy = packed_floats / rows * tile_rows / a_width;
    const Index n_parts = (p.n - 1) / std::max(block_n, roomy) + 1, k_parts = (p.k - 1) / std::max(block_k, roomy) + 1;
    for (Index i = 0; i < n_parts; ++i)
      for (Index j = 0; j < k_parts; ++j) {
        const Index n0 = p.n * i / n_parts, k0 = (p.k + panel_width - 1) / panel_width * j / k_parts * panel_width;
        const Index k1 = std::min(p.k, (p.k + panel_width - 1) / panel_width * (j + 1) / k_parts * panel_width);
        items.push_back({e, n0, p.n * (i + 1) / n_parts - n0, k0, k1 - k0});
      }
  }
}

}  // namespace

void weight_gradient(const GrainGroups& groups, Index n, Index k, const float* dy, const float* x, float* dw,
                     Index node_stride) {
  static thread_local std::vector<Item> items;
  const Problem problem{groups, n, k, dy, x, dw, node_stride};
  cut(problem, items);
  const Item* item = items.data();
  using Policy = Kokkos::RangePolicy<Device, Kokkos::Schedule<Kokkos::Dynamic>, Kokkos::IndexType<Index>>;
  Kokkos::parallel_for("switchyard::blas::weight_gradient",
                       Policy(0, static_cast<Index>(items.size()), Kokkos::ChunkSize(1)), [=](Index i) {
                         static thread_local Memory memory;
                         block_gradient(problem, item[i], memory);
                       });
}

}  // namespace switchyard::blas
