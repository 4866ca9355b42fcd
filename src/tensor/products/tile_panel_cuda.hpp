// Tiles of operands in shared memory, summed index by summed index, for tile_product_cuda.cpp.
#pragma once
#include "tensor/products/grouped_cuda.hpp"

namespace switchyard::products {

constexpr int tile_threads = 256;
constexpr int tile_depth(int side) { return 4 * tile_threads / side; }  ///< so that a thread moves four elements

/// (depth, side) floats; rows are padded, or stores along the depth would meet in few banks.
template <int side>
struct TilePanel {
  float4 at[tile_depth(side)][side / 4 + 1];
};

/// An operand of one group: `lines` rows of A or columns of B, `depth` elements each; one of both lies contiguous.
template <class T>
struct TileSource {
  const T* data;
  Index stride;
  int lines, depth;
};

/// Four neighbours of which `valid` are there; +0 for the others. `vector`: all four may be read at once.
template <bool vector, class T>
__device__ float4 four(const T* from, int valid) {
  if constexpr (vector && sizeof(T) == sizeof(float)) {
    if (valid >= 4) return *reinterpret_cast<const float4*>(from);
  } else if constexpr (vector) {
    if (valid >= 4) {
      const uint2 pairs = *reinterpret_cast<const uint2*>(from);  // the first of two in the lower half
      return {__uint_as_float(pairs.x << 16), __uint_as_float(pairs.x & 0xFFFF0000u), __uint_as_float(pairs.y << 16),
              __uint_as_float(pairs.y & 0xFFFF0000u)};
    }
  }
  float to[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) to[j] = j < valid ? load(from[j]) : 0.0f;
  return {to[0], to[1], to[2], to[3]};
}

/// One thread's four elements of each panel of an operand. `along_depth`: they are neighbours in the sum, else lines.
template <bool along_depth, bool vector, int side, class T>
class TileReader {
 public:
  /// From line `first` on.
  __device__ TileReader(const TileSource<T>& s, int first) {
    if constexpr (along_depth)
      line_ = threadIdx.x / (depth / 4), step_ = threadIdx.x % (depth / 4) * 4;
    else
      line_ = threadIdx.x % (side / 4) * 4, step_ = threadIdx.x / (side / 4);
    lines_ = s.lines - first - line_, left_ = s.depth - step_;
    at_ = s.data + (along_depth ? (first + line_) * s.stride + step_ : step_ * s.stride + first + line_);
    advance_ = along_depth ? depth : depth * s.stride;
  }
  /// The next panel's, +0 past the end.
  __device__ float4 next() {
    const int whole = along_depth ? lines_ : left_, valid = along_depth ? left_ : lines_;
    const float4 got = four<vector>(at_, whole > 0 ? valid : 0);
    at_ += advance_, left_ -= depth;
    return got;
  }
  __device__ void put(const float4& v, TilePanel<side>& panel) const {
    if constexpr (along_depth) {
      constexpr int row = sizeof(panel.at[0]) / sizeof(float);
      float* to = reinterpret_cast<float*>(panel.at[step_]) + line_;
      to[0] = v.x, to[row] = v.y, to[2 * row] = v.z, to[3 * row] = v.w;
    } else {
      panel.at[step_][line_ / 4] = v;
    }
  }

 private:
  static constexpr int depth = tile_depth(side);
  const T* at_;
  Index advance_;
  int line_, step_, lines_, left_;
};

/// Sums of one thread: rows and columns 64·part + 4·(its place among 16) + 0 … 3, parts = side / 64.
template <int side>
struct TileSums {
  static constexpr int width = side / 16;
  float at[width][width];
};

/// sums += A·B of number k of the summed index.
template <int side>
__device__ void multiply_add(const TilePanel<side>& a, const TilePanel<side>& b, int k, TileSums<side>& sums) {
  constexpr int width = TileSums<side>::width;
  float left[width], right[width];
#pragma unroll
  for (int part = 0; part < width / 4; ++part) {
    reinterpret_cast<float4&>(left[4 * part]) = a.at[k][16 * part + threadIdx.x / 16];
    reinterpret_cast<float4&>(right[4 * part]) = b.at[k][16 * part + threadIdx.x % 16];
  }
#pragma unroll
  for (int i = 0; i < width; ++i)
#pragma unroll
    for (int j = 0; j < width; ++j) sums.at[i][j] = __fmaf_rn(left[i], right[j], sums.at[i][j]);
}

/// The first `steps` of a panel, ascending: one chain of fused multiply-adds an element. Fillings are left out, for
/// they would turn −0 into +0.
template <int side>
__device__ void accumulate(const TilePanel<side>& a, const TilePanel<side>& b, int steps, TileSums<side>& sums) {
  if (steps >= tile_depth(side)) {
#pragma unroll
    for (int k = 0; k < tile_depth(side); ++k) multiply_add(a, b, k, sums);
  } else {
#pragma unroll 1
    for (int k = 0; k < steps; ++k) multiply_add(a, b, k, sums);
  }
}

}  // namespace switchyard::products
