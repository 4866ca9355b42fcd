#include "tensor/products/packed_product_host.hpp"

#include "tensor/products/pack_host.hpp"

namespace switchyard::products {
namespace {

using simd::panel_width;

int columns_of(Index n, Index j) { return static_cast<int>(std::min<Index>(panel_width, n - j)); }

/// Tiles of all rows of A against one panel; `ends` says where the first row begins and ends.
void panel_tiles(Index m, Index k, const Rows& a, const float* panel, const simd::Ends& ends) {
  const Index tiles = simd::tile_count(m);
  for (Index t = 0; t < tiles; ++t) {
    const Index row = simd::tile_row(m, tiles, t);
    const int rows = static_cast<int>(simd::tile_row(m, tiles, t + 1) - row);
    simd::Ends at = ends;
    if (at.start) at.start += row * panel_width;
    at.out += row * at.stride;
    simd::run_tile(rows, 2, {k, a.data + row * a.row, a.row, a.step, panel, panel_width, panel, 0}, at);
  }
}

/// The valid columns of one panel of C, by way of a tile.
void ragged_tiles(Size size, const Rows& a, const float* panel, Block c) {
  alignas(64) float tile[simd::tile_rows * panel_width];
  for (Index i = 0; i < size.m; i += simd::tile_rows) {
    const Index rows = std::min<Index>(simd::tile_rows, size.m - i);
    panel_tiles(rows, size.k, {a.data + i * a.row, a.row, a.step}, panel,
                {nullptr, tile, panel_width, false, false, 0});
    simd::unpack(tile, static_cast<int>(rows), static_cast<int>(size.n), c.data + i * c.stride, c.stride, false);
  }
}

}  // namespace

Index panel_floats(Index depth, Index n) { return (n + panel_width - 1) / panel_width * panel_width * depth; }

void pack(Index n, ConstBlock b, Panels panels) {
  for (Index j = 0; j < n; j += panel_width)
    simd::pack_rows(b.data + j, b.stride, panels.depth, columns_of(n, j), panels.data + j * panels.depth);
}

void pack_transposed(Index n, ConstBlock b, Panels panels) {
  for (Index j = 0; j < n; j += panel_width)
    simd::pack_columns(b.data + j * b.stride, b.stride, panels.depth, columns_of(n, j), panels.data + j * panels.depth);
}

void unpack(Index n, Panels panels, Block c) {
  for (Index j = 0; j < n; j += panel_width)
    simd::unpack(panels.data + j * panels.depth, static_cast<int>(panels.depth), columns_of(n, j), c.data + j, c.stride,
                 false);
}

void packed_product(Size size, Rows a, Panels b, Block c, bool exact) {
  for (Index j = 0; j < size.n; j += panel_width) {
    const int columns = columns_of(size.n, j);
    const float* panel = b.data + j * b.depth;
    if (exact && columns < panel_width)
      ragged_tiles({size.m, columns, size.k}, a, panel, {c.data + j, c.stride});
    else
      panel_tiles(size.m, size.k, a, panel, {nullptr, c.data + j, c.stride, false, false, 0});
  }
}

void packed_chain(Size size, Rows a, Panels b, Panels sums) {
  for (Index j = 0; j < size.n; j += panel_width) {
    float* sum = sums.data + j * sums.depth;
    panel_tiles(size.m, size.k, a, b.data + j * b.depth, {sum, sum, panel_width, false, false, 0});
  }
}

}  // namespace switchyard::products
