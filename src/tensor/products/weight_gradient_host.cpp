// Weight gradients on the CPU: per tile of the result one chain a grain, added along the tree of base/tree.hpp while
// the tile is in registers or cache; partial sums never exist as whole matrices.
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <bit>
#include <vector>

#include "tensor/products/grain_tile_host.hpp"
#include "tensor/products/workspace_host.hpp"

namespace switchyard::products {
namespace {

constexpr Index chunk_rows = 256;          // rows packed at a time
constexpr Index block_n = 16 * tile_rows;  // block of dW of one item, where a group has many rows
constexpr Index block_k = 8 * panel_width;
constexpr Index packed_floats = Index{1} << 16;  // panels of an item whose group has few rows

/// The pieces of rows [begin, end) of one network, at most chunk_rows of them.
struct Chunk {
  Index begin, end;
  int first_piece, last_piece;  ///< half-open
};

/// What one thread keeps from item to item.
struct Memory {
  simd::Scratch floats;
  std::vector<Chunk> chunks;
  std::vector<Piece> pieces;
};

struct Problem {
  GrainSegments grains;
  Tensor dy, x;
  Gradients dw;
  bool stream;  ///< dw is larger than the caches, and its rows are whole vectors
  Index n() const { return dy.width; }
  Index k() const { return x.width; }
};

/// Appends rows to the last chunk, or begins another where that is full or ends elsewhere. Pieces without rows join it.
Chunk& chunk_for(Index row, bool any, std::vector<Chunk>& chunks) {
  const Chunk last = chunks.back();
  const bool fresh = last.begin == last.end;
  if (any && fresh) chunks.back().begin = chunks.back().end = row;
  if (any && !fresh && (last.end - last.begin == chunk_rows || last.end != row))
    chunks.push_back({row, row, last.last_piece, last.last_piece});
  return chunks.back();
}

/// The rows of one grain, in pieces of one chunk each.
void add_pieces(Index first, Index past, Memory& memory) {
  bool begins = true, ends = false;
  for (Index row = first; !ends; begins = false) {
    Chunk& chunk = chunk_for(row, row < past, memory.chunks);
    const Index taken = std::min(past - row, chunk_rows - (chunk.end - chunk.begin));
    row += taken, chunk.end += taken, ++chunk.last_piece;
    ends = row == past;
    memory.pieces.push_back({taken, begins, ends, false, 0, -1});
  }
}

/// The pieces of a node's grains, which are the segments from `segment` on. A grain without rows has none: its +0 can
/// only turn a −0 into +0, and does so as well after all other additions, so that one +0 there stands for those of all.
void add_node(const Segments& segments, Index segment, int grains, int node, Memory& memory) {
  std::uint64_t waiting = 0;  // by level: whether the left half that is complete there has rows
  bool any = false, all = true;
  for (int g = 0; g < grains; ++g) {
    const Index first = segments.begin(segment + g), past = segments.end(segment + g);
    bool here = first < past;
    any = any || here, all = all && here;
    if (here) add_pieces(first, past, memory);
    int level = 0;
    for (; g >> level & 1; ++level) {
      const bool left = waiting >> level & 1;
      if (left && here) ++memory.pieces.back().merges;
      here = left || here;
    }
    waiting = (waiting & ~(std::uint64_t{1} << level)) | std::uint64_t{here} << level;
  }
  if (!any) add_pieces(0, 0, memory);
  memory.pieces.back().node = node;
  memory.pieces.back().absent = any && !all;
}

/// Splits the rows of a network into chunks and pieces.
void make_chunks(const GrainSegments& grains, int network, Memory& memory) {
  Index segment = Index{network} * grains.grains;
  memory.pieces.clear();
  memory.chunks.assign(1, {0, 0, 0, 0});
  int node = 0;
  for (const TreeNode& t : *grains.nodes) {
    add_node(grains.segments, segment, t.size, node++, memory);
    segment += t.size;
  }
}

/// Columns [first, last) of rows of a matrix that become panels: panel i is `W` columns from start(i) on, its rows `W`
/// floats apart.
template <class T>
struct Columns {
  Lines<T> rows;
  Index width, first, last;
  Index panels, panel_stride;
};

/// n columns of a row to a row of a panel, +0 to its width. What stands in the matrix past column `last` may be read.
template <int W>
void pack_row(const float* from, Index valid, bool whole, float* to) {
  if (whole)
    std::memcpy(to, from, W * sizeof(float));
  else
    std::fill(std::copy_n(from, valid, to), to + W, 0.0f);
}
template <int W>
void pack_row(const Bf16* from, Index valid, bool /*whole*/, float* to) {
  for (Index c = 0; c < W; ++c) to[c] = c < valid ? switchyard::load(from[c]) : 0.0f;
}

/// Packs row by row, so that memory is read in the order in which it lies, and asks for the rows after next meanwhile.
template <int W, class T>
void pack_panels(const Columns<T>& c, Index rows, const auto& start, float* to) {
  constexpr Index line = 64 / sizeof(T);
  for (Index s0 = 0; s0 < rows; s0 += together) {
    const Index s1 = std::min(rows, s0 + together);
    for (Index s = s1; s < std::min(rows, s1 + together); ++s)
      for (Index column = c.first; column < c.last; column += line) __builtin_prefetch(c.rows.row(s) + column);
    for (Index i = 0; i < c.panels; ++i) {
      const Index column = start(i), valid = std::min<Index>(W, c.last - column);
      float* panel = to + i * c.panel_stride;
      for (Index s = s0; s < s1; ++s) pack_row<W>(c.rows.row(s) + column, valid, column + W <= c.width, panel + s * W);
    }
  }
}

/// Distance of panels of `rows` rows: one line more than they take, or those of all panels would meet in few cache
/// sets.
constexpr Index panel_stride(Index rows, Index panel) { return rows * panel + 16; }

void pack_dy(const Problem& p, const Item& item, const Chunk& chunk, float* panels) {
  const Index tiles = simd::tile_count(item.rows), rows = chunk.end - chunk.begin;
  const Tensor part = p.dy.part(chunk.begin, rows);
  const auto start = [&](Index t) { return item.row + simd::tile_row(item.rows, tiles, t); };
  by_element(part.element, [&](auto zero) {
    using T = decltype(zero);
    pack_panels<a_width>(
        Columns<T>{part.lines<T>(), part.width, item.row, item.row + item.rows, tiles, panel_stride(rows, a_width)},
        rows, start, panels);
  });
}

void pack_x(const Problem& p, const Item& item, const Chunk& chunk, float* panels) {
  const Index rows = chunk.end - chunk.begin, count = (item.columns + panel_width - 1) / panel_width;
  const Tensor part = p.x.part(chunk.begin, rows);
  const auto start = [&](Index i) { return item.column + i * panel_width; };
  by_element(part.element, [&](auto zero) {
    using T = decltype(zero);
    pack_panels<panel_width>(Columns<T>{part.lines<T>(), part.width, item.column, item.column + item.columns, count,
                                        panel_stride(rows, panel_width)},
                             rows, start, panels);
  });
}

/// The packed panels of one chunk, panel_stride apart, and the chunk after it.
struct Panels {
  float *dy, *x;
  Index rows;
  const Chunk* next;  ///< null after the last one
};

/// One column of lines of a tensor, every `rounds`-th row from `row` on.
Ahead line_of(const Tensor& t, Index row, Index column, Index rounds) {
  return {t.at(row, column), rounds * t.stride * bytes_of(t.element)};
}

/// What tile number `call` of an item asks for, so that all together fetch the rows of the next chunk: one column of
/// lines of dY or X each, and of its rows every `rounds`-th.
Ahead next_rows(const Problem& p, const Item& item, const Chunk* next, Index call, Index calls) {
  if (!next) return {p.x.data, 0};
  constexpr Index line = 16;
  const Index dy_lines = (item.rows + line - 1) / line, lines = dy_lines + (item.columns + line - 1) / line;
  const Index rounds = std::max<Index>(1, calls / lines), column = call % lines, row = next->begin + call / lines;
  if (column < dy_lines) return line_of(p.dy, row, item.row + column * line, rounds);
  return line_of(p.x, row, item.column + (column - dy_lines) * line, rounds);
}

/// All tiles of an item for one chunk. `tile_state` is the distance of the states of two tiles: 0 where they share one.
void chunk_tiles(const Problem& p, const Item& item, std::span<const Piece> pieces, const Panels& panels, State state,
                 Index tile_state) {
  static constexpr auto one = grain_tiles<1>(std::make_integer_sequence<int, tile_rows>());
  static constexpr auto two = grain_tiles<2>(std::make_integer_sequence<int, tile_rows>());
  const Index tiles = simd::tile_count(item.rows), calls = tiles * ((item.columns + panel_width - 1) / panel_width);
  Index call = 0;
  for (Index t = 0; t < tiles; ++t) {
    const Index n = simd::tile_row(item.rows, tiles, t);
    const auto height = static_cast<int>(simd::tile_row(item.rows, tiles, t + 1) - n);
    float* out = p.dw.data + item.segment * p.dw.next + (item.row + n) * p.k() + item.column;
    for (Index k = 0; k < item.columns; k += panel_width) {
      const int columns = static_cast<int>(std::min<Index>(panel_width, item.columns - k));
      (columns <= simd::width ? one : two)[height - 1](
          {pieces, panels.dy + t * panel_stride(panels.rows, a_width),
           panels.x + k / panel_width * panel_stride(panels.rows, panel_width),
           next_rows(p, item, panels.next, call++, calls)},
          state, {out + k, p.k(), p.dw.node, columns, p.stream});
      state.chain += tile_state, state.stack += tile_state;
    }
  }
}

void block_gradient(const Problem& p, const Item& item, Memory& memory) {
  make_chunks(p.grains, item.segment, memory);
  const Index tiles = simd::tile_count(item.rows), panels = (item.columns + panel_width - 1) / panel_width;
  Index max_rows = 0;
  for (const Chunk& chunk : memory.chunks) max_rows = std::max(max_rows, chunk.end - chunk.begin);
  const bool several = memory.chunks.size() > 1;  // then each tile's state waits for the next chunk
  const Index level = (several ? tiles * panels : 1) * tile_floats,
              levels = 2 + std::bit_width(unsigned(p.grains.grains));
  const Index dy_floats = tiles * panel_stride(max_rows, a_width),
              x_floats = panels * panel_stride(max_rows, panel_width);
  float* dy = memory.floats.floats(dy_floats + x_floats + levels * level);
  float* x = dy + dy_floats;
  float* chain = x + x_floats;
  State state{chain, chain + level, level, 0};
  for (const Chunk& chunk : memory.chunks) {
    pack_dy(p, item, chunk, dy);
    pack_x(p, item, chunk, x);
    const auto pieces =
        std::span<const Piece>(memory.pieces).subspan(chunk.first_piece, chunk.last_piece - chunk.first_piece);
    const Chunk* next = &chunk == &memory.chunks.back() ? nullptr : &chunk + 1;
    chunk_tiles(p, item, pieces, {dy, x, chunk.end - chunk.begin, next}, state, several ? tile_floats : 0);
    for (const Piece& s : pieces)
      if (s.last) state.height += (s.node < 0 ? 1 : 0) - s.merges;
  }
  if (p.stream) simd::stream_end();
}

/// Blocks of dW: large where a network has few rows, since the panels are small then.
void cut(const Problem& p, std::vector<Item>& items) {
  items.clear();
  const Index n = p.n(), k = p.k(), panels = (k + panel_width - 1) / panel_width;
  for (int e = 0; e < p.grains.networks; ++e) {
    Index rows = 0;
    for (Index s = Index{e} * p.grains.grains, end = s + p.grains.grains; s < end; ++s)
      rows += p.grains.segments.end(s) - p.grains.segments.begin(s);
    const Index roomy = packed_floats / std::max<Index>(1, rows) * tile_rows / a_width;
    const Index n_parts = (n - 1) / std::max(block_n, roomy) + 1, k_parts = (k - 1) / std::max(block_k, roomy) + 1;
    for (Index i = 0; i < n_parts; ++i)
      for (Index j = 0; j < k_parts; ++j) {
        const Index first = n * i / n_parts, column = panels * j / k_parts * panel_width;
        items.push_back({e, first, n * (i + 1) / n_parts - first, column,
                         std::min(k, panels * (j + 1) / k_parts * panel_width) - column});
      }
  }
}

}  // namespace

void weight_gradient(const Queue& queue, const GrainSegments& grains, const Tensor& dy, const Tensor& x,
                     const Gradients& dw) {
  const Index k = x.width;
  const bool aligned = reinterpret_cast<std::uintptr_t>(dw.data) % 64 == 0 && k % panel_width == 0 &&
                       dw.node % panel_width == 0 && dw.next % panel_width == 0;
  const bool stream = aligned && grains.networks * dy.width * k > (Index{1} << 21);
  const Problem problem{grains, dy, x, dw, stream};
  std::vector<Item>& items = queue.workspace().items;
  cut(problem, items);
  const Item* item = items.data();
  using Policy = Kokkos::RangePolicy<Device, Kokkos::Schedule<Kokkos::Dynamic>, Kokkos::IndexType<Index>>;
  Kokkos::parallel_for("switchyard::products::weight_gradient",
                       Policy(queue.space(), 0, static_cast<Index>(items.size()), Kokkos::ChunkSize(1)), [=](Index i) {
                         static thread_local Memory memory;
                         tick();
                         block_gradient(problem, item[i], memory);
                       });
}

}  // namespace switchyard::products
