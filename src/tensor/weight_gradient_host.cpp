// Weight gradients on the CPU: per tile of the result one chain a grain, added along the tree of base/tree.hpp while
// the tile is in registers or cache; partial sums never exist as whole matrices.
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <bit>
#include <vector>

#include "tensor/blas.hpp"
#include "tensor/grain_tile_host.hpp"
#include "tensor/types.hpp"

namespace switchyard::blas {
namespace {

constexpr Index chunk_rows = 256;          // rows packed at a time
constexpr Index block_n = 16 * tile_rows;  // block of dW of one item, where a group has many rows
constexpr Index block_k = 8 * panel_width;
constexpr Index packed_floats = Index{1} << 16;  // panels of an item whose group has few rows

/// The segments of rows [begin, end) of one group, at most chunk_rows of them; grains without rows are segments too.
struct Chunk {
  Index begin, end;
  int first_segment, last_segment;  ///< half-open
};

/// What one thread keeps from item to item.
struct Memory {
  simd::Scratch floats;
  std::vector<Chunk> chunks;
  std::vector<Segment> segments;
};

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
  Index node_stride, stride;  ///< between nodes, and between the matrices of one
  bool stream;                ///< dw is larger than the caches, and its rows are whole vectors
};

/// Splits the rows of a group into chunks and segments.
void make_chunks(const GrainGroups& groups, int group, Memory& memory) {
  const Index* offsets = groups.offsets + Index{group} * groups.grains;
  memory.segments.clear();
  memory.chunks.assign(1, {offsets[0], offsets[0], 0, 0});
  int grain = 0, node = 0;
  for (const TreeNode& t : *groups.nodes) {
    for (int leaf = 0; leaf < t.size; ++leaf, ++grain) {
      const int merges = std::countr_one(static_cast<unsigned>(leaf)), complete = leaf + 1 == t.size ? node : -1;
      bool first = true, last = false;
      for (Index row = offsets[grain]; !last; first = false) {
        if (const Chunk c = memory.chunks.back(); c.end - c.begin == chunk_rows)
          memory.chunks.push_back({row, row, c.last_segment, c.last_segment});
        Chunk& chunk = memory.chunks.back();
        const Index rows = std::min(offsets[grain + 1] - row, chunk_rows - (chunk.end - chunk.begin));
        row += rows, chunk.end += rows, ++chunk.last_segment;
        last = row == offsets[grain + 1];
        memory.segments.push_back({rows, first, last, merges, complete});
      }
    }
    ++node;
  }
}

/// Columns of a matrix that become panels: panel i is `W` columns from start(i) on, its rows `W` floats apart.
struct Columns {
  const float* data;
  Index stride, first, last;  ///< of the matrix; columns [first, last) are read
  Index panels, panel_stride;
};

/// Packs row by row, so that memory is read in the order in which it lies, and asks for the rows after next meanwhile.
template <int W>
void pack_panels(const Columns& c, Index rows, const auto& start, float* to) {
  for (Index s0 = 0; s0 < rows; s0 += together) {
    const Index s1 = std::min(rows, s0 + together);
    for (Index s = s1; s < std::min(rows, s1 + together); ++s)
      for (Index column = c.first; column < c.last; column += 16) __builtin_prefetch(c.data + s * c.stride + column);
    for (Index i = 0; i < c.panels; ++i) {
      const Index column = start(i), valid = std::min<Index>(W, c.last - column);
      const float* from = c.data + column;
      float* panel = to + i * c.panel_stride;
      if (column + W <= c.stride)
        for (Index s = s0; s < s1; ++s) std::memcpy(panel + s * W, from + s * c.stride, W * sizeof(float));
      else
        for (Index s = s0; s < s1; ++s)
          std::fill(std::copy_n(from + s * c.stride, valid, panel + s * W), panel + (s + 1) * W, 0.0f);
    }
  }
}

/// Distance of panels of `rows` rows: one line more than they take, or those of all panels would meet in few cache
/// sets.
constexpr Index panel_stride(Index rows, Index panel) { return rows * panel + 16; }

void pack_dy(const Problem& p, const Item& item, const Chunk& chunk, float* panels) {
  const Index tiles = simd::tile_count(item.n), rows = chunk.end - chunk.begin;
  pack_panels<a_width>(
      {p.dy + chunk.begin * p.n, p.n, item.n0, item.n0 + item.n, tiles, panel_stride(rows, a_width)}, rows,
      [&](Index t) { return item.n0 + simd::tile_row(item.n, tiles, t); }, panels);
}

void pack_x(const Problem& p, const Item& item, const Chunk& chunk, float* panels) {
  const Index rows = chunk.end - chunk.begin, count = (item.k + panel_width - 1) / panel_width;
  pack_panels<panel_width>(
      {p.x + chunk.begin * p.k, p.k, item.k0, item.k0 + item.k, count, panel_stride(rows, panel_width)}, rows,
      [&](Index i) { return item.k0 + i * panel_width; }, panels);
}

/// The packed panels of one chunk, panel_stride apart, and the chunk after it.
struct Panels {
  float *dy, *x;
  Index rows;
  const Chunk* next;  ///< null after the last one
};

/// What tile number `call` of an item asks for, so that all together fetch the rows of the next chunk: one column of
/// lines of dY or X each, and of its rows every `rounds`-th.
Ahead next_rows(const Problem& p, const Item& item, const Chunk* next, Index call, Index calls) {
  if (!next) return {p.x, 0};
  constexpr Index line = 16;
  const Index dy_lines = (item.n + line - 1) / line, lines = dy_lines + (item.k + line - 1) / line;
  const Index rounds = std::max<Index>(1, calls / lines), column = call % lines, row = next->begin + call / lines;
  if (column < dy_lines) return {p.dy + row * p.n + item.n0 + column * line, rounds * p.n};
  return {p.x + row * p.k + item.k0 + (column - dy_lines) * line, rounds * p.k};
}

/// All tiles of an item for one chunk. `tile_state` is the distance of the states of two tiles: 0 where they share one.
void chunk_tiles(const Problem& p, const Item& item, std::span<const Segment> segments, const Panels& panels,
                 State state, Index tile_state) {
  static constexpr auto one = grain_tiles<1>(std::make_integer_sequence<int, tile_rows>());
  static constexpr auto two = grain_tiles<2>(std::make_integer_sequence<int, tile_rows>());
  const Index tiles = simd::tile_count(item.n), calls = tiles * ((item.k + panel_width - 1) / panel_width);
  Index call = 0;
  for (Index t = 0; t < tiles; ++t) {
    const Index n = simd::tile_row(item.n, tiles, t);
    const auto height = static_cast<int>(simd::tile_row(item.n, tiles, t + 1) - n);
    float* out = p.dw + item.group * p.stride + (item.n0 + n) * p.k + item.k0;
    for (Index k = 0; k < item.k; k += panel_width) {
      const int columns = static_cast<int>(std::min<Index>(panel_width, item.k - k));
      (columns <= simd::width ? one : two)[height - 1](
          {segments, panels.dy + t * panel_stride(panels.rows, a_width),
           panels.x + k / panel_width * panel_stride(panels.rows, panel_width),
           next_rows(p, item, panels.next, call++, calls)},
          state, {out + k, p.k, p.node_stride, columns, p.stream});
      state.chain += tile_state, state.stack += tile_state;
    }
  }
}

void block_gradient(const Problem& p, const Item& item, Memory& memory) {
  make_chunks(p.groups, item.group, memory);
  const Index tiles = simd::tile_count(item.n), panels = (item.k + panel_width - 1) / panel_width;
  const Index max_rows = std::min(chunk_rows, memory.chunks.back().end - memory.chunks.front().begin);
  const bool several = memory.chunks.size() > 1;  // then each tile's state waits for the next chunk
  const Index level = (several ? tiles * panels : 1) * tile_floats,
              levels = 2 + std::bit_width(unsigned(p.groups.grains));
  const Index dy_floats = tiles * panel_stride(max_rows, a_width),
              x_floats = panels * panel_stride(max_rows, panel_width);
  float* dy = memory.floats.floats(dy_floats + x_floats + levels * level);
  float* x = dy + dy_floats;
  float* chain = x + x_floats;
  State state{chain, chain + level, level, 0};
  for (const Chunk& chunk : memory.chunks) {
    pack_dy(p, item, chunk, dy);
    pack_x(p, item, chunk, x);
    const auto segments = std::span<const Segment>(memory.segments)
                              .subspan(chunk.first_segment, chunk.last_segment - chunk.first_segment);
    const Chunk* next = &chunk == &memory.chunks.back() ? nullptr : &chunk + 1;
    chunk_tiles(p, item, segments, {dy, x, chunk.end - chunk.begin, next}, state, several ? tile_floats : 0);
    for (const Segment& s : segments)
      if (s.last) state.height += (s.node < 0 ? 1 : 0) - s.merges;
  }
  if (p.stream) simd::stream_end();
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
  const Index stride = matrix_stride(groups, n, k);
  const bool aligned = reinterpret_cast<std::uintptr_t>(dw) % 64 == 0 && k % panel_width == 0 &&
                       node_stride % panel_width == 0 && stride % panel_width == 0;
  const bool stream = aligned && groups.count * n * k > (Index{1} << 21);
  const Problem problem{groups, n, k, dy, x, dw, node_stride, stride, stream};
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
