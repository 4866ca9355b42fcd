// Panels: operands rearranged so that the columns of one tile are contiguous for each summed index; and the scratch
// memory of a thread.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "tensor/products/simd_product_host.hpp"

namespace switchyard::simd {

/// Memory that a thread keeps from call to call; grows, contents are lost when it does.
class Scratch {
 public:
  float* floats(Index n) {
    if (n > size_) {
      data_.reset();
      size_ = (n + n / 4 + 1023) / 1024 * 1024;
      data_.reset(static_cast<float*>(std::aligned_alloc(64, size_ * sizeof(float))));
      if (!data_) throw std::bad_alloc();
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data_;
  Index size_ = 0;
};

/// panel[s·panel_width + j] = b[s·stride + j] for s < depth, j < columns; +0 to the panel's width.
inline void pack_rows(const float* b, Index stride, Index depth, int columns, float* panel) {
  if (columns == panel_width) {
    for (Index s = 0; s < depth; ++s) {
      const Vec low = load(b + s * stride), high = load(b + s * stride + width);
      store(panel + s * panel_width, low);
      store(panel + s * panel_width + width, high);
    }
    return;
  }
  for (Index s = 0; s < depth; ++s)
    for (int j = 0; j < panel_width; ++j) panel[s * panel_width + j] = j < columns ? b[s * stride + j] : 0.0f;
}

/// panel[s·panel_width + j] = b[j·stride + s] for s < depth, j < columns; +0 to the panel's width.
inline void pack_columns(const float* b, Index stride, Index depth, int columns, float* panel) {
  for (int j0 = 0; j0 < panel_width; j0 += width) {
    const int valid = std::clamp(columns - j0, 0, width);
    Index s = 0;
    for (; s + width <= depth; s += width) {
      Vec block[width];
      for (int j = 0; j < width; ++j) block[j] = j < valid ? load(b + (j0 + j) * stride + s) : Vec{};
      transpose(block);
      for (int i = 0; i < width; ++i) store(panel + (s + i) * panel_width + j0, block[i]);
    }
    for (; s < depth; ++s)
      for (int j = 0; j < width; ++j) panel[s * panel_width + j0 + j] = j < valid ? b[(j0 + j) * stride + s] : 0.0f;
  }
}

/// Columns [0, columns) of a tile's packed rows, to rows of c.
inline void unpack(const float* packed, int rows, int columns, float* c, Index stride, bool add) {
  for (int r = 0; r < rows; ++r)
    for (int j = 0; j < columns; ++j) {
      const float sum = packed[r * panel_width + j];
      c[r * stride + j] = add ? c[r * stride + j] + sum : sum;
    }
}

/// First row of tile `part` of `parts` that share `rows` as evenly as can be: tiles of like height keep enough chains
/// in flight, where a last tile of one row would not.
inline Index tile_row(Index rows, Index parts, Index part) { return rows * part / parts; }
inline Index tile_count(Index rows) { return (rows + tile_rows - 1) / tile_rows; }

}  // namespace switchyard::simd
