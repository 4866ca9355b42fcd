// Serial products of row-major blocks: panels of B in cache, tiles of sums in registers. The products of products.hpp
// are made of these.
#include "tensor/products/small_product_host.hpp"

#include "tensor/products/pack_host.hpp"

namespace switchyard::products {
namespace {

using simd::panel_width;

constexpr Index block_floats = 65536;  // of A that meets one packed panel: half of a second-level cache
constexpr Index block_columns = 256;   // bounds the partial sums that are kept between depth blocks
constexpr Index block_depth = 256;     // a panel of this depth fills half of the first-level cache
constexpr Index few_rows = 18;         // up to here B is not packed but read once, in the order in which it lies,
constexpr Index shallow_depth = 64;    // in blocks of so many rows

/// A(i, s) at a[i·a_row + s]; B(s, j) at b[s·b_row + j], or at b[j·b_row + s] where `transposed`.
struct Operands {
  const float* a;
  Index a_row;
  const float* b;
  Index b_row;
  bool transposed;
};

/// Offsets of a block of A, B and C.
Operands shifted(const Operands& o, Index i, Index j, Index s) {
  return {o.a + i * o.a_row + s, o.a_row, o.b + (o.transposed ? j * o.b_row + s : s * o.b_row + j), o.b_row,
          o.transposed};
}

simd::Scratch& scratch() {
  static thread_local simd::Scratch memory;
  return memory;
}

/// State of the chains when a depth is worked in several blocks: null, or tiles of packed rows.
struct Between {
  const float* start;
  float* end;
};

/// What the tiles of a panel fetch meanwhile: tile t from data + t·tile on, `step` floats a step of its chains.
struct Ahead {
  const float* data;
  Index tile, step;
};

/// A contiguous region shared evenly by `tiles` tiles of the given depth.
Ahead spread(const float* data, Index floats, Index tiles, Index depth) {
  const Index share = (floats + tiles - 1) / tiles;
  return {data, share, (share + depth - 1) / std::max<Index>(1, depth)};
}

/// All rows against one panel of up to panel_width columns (seven arguments: what varies from panel to panel). `panel`
/// is scratch for size.k · panel_width floats.
void panel_product(Size size, const Operands& o, float* panel, Between between, Block c, bool add, Ahead ahead) {
  const int columns = static_cast<int>(size.n), vectors = columns <= simd::width ? 1 : 2;
  const Index tiles = simd::tile_count(size.m);
  const float* b = panel;
  Index step = panel_width;
  if (o.transposed)
    simd::pack_columns(o.b, o.b_row, size.k, columns, panel);
  else if (size.m > few_rows || columns % simd::width != 0)
    simd::pack_rows(o.b, o.b_row, size.k, columns, panel);
  else
    b = o.b, step = o.b_row;
  for (Index t = 0; t < tiles; ++t) {
    const Index row = simd::tile_row(size.m, tiles, t);
    const int rows = static_cast<int>(simd::tile_row(size.m, tiles, t + 1) - row);
    const simd::Chain chain{size.k, o.a + row * o.a_row, o.a_row, 1, b, step, ahead.data + t * ahead.tile, ahead.step};
    const float* start = between.start ? between.start + row * panel_width : nullptr;
    alignas(64) float ragged[simd::tile_rows * panel_width];
    if (between.end) {
      simd::run_tile(rows, vectors, chain, {start, between.end + row * panel_width, panel_width, false, false, 0});
    } else if (columns == vectors * simd::width) {
      simd::run_tile(rows, vectors, chain, {start, c.data + row * c.stride, c.stride, add, false, 0});
    } else {
      simd::run_tile(rows, vectors, chain, {start, ragged, panel_width, false, false, 0});
      simd::unpack(ragged, rows, columns, c.data + row * c.stride, c.stride, add);
    }
  }
}

/// Rows ≤ row_block, columns ≤ block_columns, any depth.
void block_product(Size size, const Operands& o, Block c, bool add) {
  const bool direct = !o.transposed && size.m <= few_rows;  // B is read where it lies, in the order in which it lies
  const Index max_depth = direct ? shallow_depth : block_depth,
              parts = std::max<Index>(1, (size.k + max_depth - 1) / max_depth);
  const Index depth = std::max<Index>(1, (size.k + parts - 1) / parts);
  const Index panels = (size.n + panel_width - 1) / panel_width, tiles = simd::tile_count(size.m);
  float* panel = scratch().floats(depth * panel_width + (parts > 1 ? size.m * panels * panel_width : 0));
  float* partial = panel + depth * panel_width;
  for (Index s = 0; s == 0 || s < size.k; s += depth)
    for (Index j = 0; j < panels; ++j) {
      float* state = partial + j * size.m * panel_width;
      const Operands at = shifted(o, 0, j * panel_width, s);
      const Index next = panel_width * o.b_row;
      const Ahead ahead =
          direct ? spread(o.b + (s + depth) * o.b_row + j * depth * panel_width, depth * panel_width, tiles, depth)
          : o.transposed ? spread(at.b + next, next, tiles, depth)
                         : Ahead{at.b + panel_width, 0, o.b_row};
      const Size part{size.m, std::min<Index>(panel_width, size.n - j * panel_width), std::min(depth, size.k - s)};
      panel_product(part, at, panel, {s > 0 ? state : nullptr, s + depth < size.k ? state : nullptr},
                    {c.data + j * panel_width, c.stride}, add, ahead);
    }
}

/// Few rows against B transposed: Cᵀ = B·Aᵀ, so that B is read where it lies and A alone is packed.
void few_rows_product(Size size, const Operands& o, Block c, bool add) {
  const int columns = static_cast<int>(size.m), vectors = columns <= simd::width ? 1 : 2;
  const Index tiles = simd::tile_count(size.n);
  float* panel = scratch().floats(size.k * panel_width);
  simd::pack_columns(o.a, o.a_row, size.k, columns, panel);
  for (Index t = 0; t < tiles; ++t) {
    const Index row = simd::tile_row(size.n, tiles, t);
    const int rows = static_cast<int>(simd::tile_row(size.n, tiles, t + 1) - row);
    simd::run_tile(rows, vectors,
                   {size.k, o.b + row * o.b_row, o.b_row, 1, panel, panel_width, o.b + (row + rows) * o.b_row, rows},
                   {nullptr, c.data + row, c.stride, add, true, columns});
  }
}

void product(Size size, const Operands& o, Block c, Write write) {
  const bool add = write == Write::add;
  if (o.transposed && size.m <= panel_width) {
    if (size.m > 0) few_rows_product(size, o, c, add);
    return;
  }
  const Index rows = row_block(size.k);
  for (Index i = 0; i < size.m; i += rows)
    for (Index j = 0; j < size.n; j += block_columns)
      block_product({std::min(rows, size.m - i), std::min(block_columns, size.n - j), size.k}, shifted(o, i, j, 0),
                    {c.data + i * c.stride + j, c.stride}, add);
}

}  // namespace

Index row_block(Index depth) {
  return block_floats / std::clamp<Index>(depth, 64, block_depth) / simd::tile_rows * simd::tile_rows;
}

void product_nn(Size size, ConstBlock a, ConstBlock b, Block c, Write write) {
  product(size, {a.data, a.stride, b.data, b.stride, false}, c, write);
}

void product_nt(Size size, ConstBlock a, ConstBlock b, Block c, Write write) {
  product(size, {a.data, a.stride, b.data, b.stride, true}, c, write);
}

}  // namespace switchyard::products
