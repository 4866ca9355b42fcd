// Products of bf16 by floats on tensor cores: a float is the sum of three numbers of bf16, exactly but for those below
// 2⁻¹¹⁰, and so a product of it is three products, all in one sum of floats. Here is what a block makes of some rows of
// x·wᵀ: warps share the columns, and the depth in strands, so that nothing is in shared memory but their sums. Lanes
// name the numbers of the depth in an order of their own, in which what each reads lies together.
#pragma once
#include <cstdint>

#include "tensor/mma_cuda.hpp"

namespace switchyard::products::split {

/// Two floats beside each other as three pairs of bf16, whose sums they are.
struct Thirds {
  std::uint32_t high, middle, low;
};
__device__ inline Thirds thirds(float a, float b) {
  Thirds t;
  t.high = pack_bf16(a, b);
  a -= low_bf16(t.high), b -= high_bf16(t.high);
  t.middle = pack_bf16(a, b);
  t.low = pack_bf16(a - low_bf16(t.middle), b - high_bf16(t.middle));
  return t;
}

/// Whether rows of floats start at 16 bytes.
__host__ __device__ inline bool in_fours(const float* data, std::int64_t stride) {
  return stride % 4 == 0 && reinterpret_cast<std::uintptr_t>(data) % sizeof(float4) == 0;
}

/// Four neighbours of which `valid` are there.
__device__ inline float4 four(const float* from, bool vectors, int valid) {
  if (vectors && valid >= 4) return *reinterpret_cast<const float4*>(from);
  float v[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) v[i] = i < valid ? from[i] : 0.0f;
  return make_float4(v[0], v[1], v[2], v[3]);
}

constexpr int tile_warps = 16, tile_threads = 32 * tile_warps;
constexpr int warp_columns = 32, chunk = 32;  ///< of a warp; numbers of the depth that a warp takes at a time
constexpr int most_columns = tile_warps * warp_columns;

/// How a block shares its tile: by the widths alone, since strands decide the order of sums.
struct TileShape {
  int tall;     ///< rows of a block / 16: 1, 2 or 4
  int across;   ///< warps along the columns
  int strands;  ///< along the depth
  __host__ __device__ int rows() const { return 16 * tall; }
  __host__ __device__ int stride() const { return across * warp_columns + 8; }  ///< floats of a row of a strand's sums
  int bytes() const { return strands * rows() * stride() * static_cast<int>(sizeof(float)); }
};

/// Few rows where that reads little of w too often.
inline TileShape tile_shape(std::int64_t columns, std::int64_t depth) {
  constexpr std::int64_t little = 8192, much = 65536;  // elements of w
  TileShape s{columns * depth <= little ? 1 : columns * depth <= much ? 2 : 4, 1, 1};
  while (s.across < tile_warps && s.across * warp_columns < columns) s.across *= 2;
  const std::int64_t chunks = (depth + chunk - 1) / chunk;
  s.strands = static_cast<int>(chunks < tile_warps / s.across ? chunks : tile_warps / s.across);
  return s;
}

/// x(rows, depth) and w(columns, depth): rows that start at 16 bytes, of whole 16 bytes of bf16.
struct TileOperands {
  const std::uint16_t* x;
  const float* w;
  std::int64_t x_stride, w_stride, rows;
  int columns, depth;
};

/// Rows and columns of w that a lane holds: 8 of the depth of each.
struct EightFloats {
  float4 low, high;
};
__device__ inline EightFloats eight(const float* from, bool there) {
  const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  return {there ? reinterpret_cast<const float4*>(from)[0] : zero,
          there ? reinterpret_cast<const float4*>(from)[1] : zero};
}

/// Sums of one warp: 16-row tile i, 8-column tile j.
template <int tall>
struct WarpSums {
  float at[tall][4][4];
};

/// sums of a column tile += 16 numbers of the depth: b is of two pairs of floats.
template <int tall>
__device__ inline void add_pairs(const std::uint32_t (&a)[tall][4], float4 b, int j, WarpSums<tall>& sums) {
  const Thirds first = thirds(b.x, b.y), second = thirds(b.z, b.w);
#pragma unroll
  for (int i = 0; i < tall; ++i) multiply_add(sums.at[i][j], a[i], first.high, second.high);
#pragma unroll
  for (int i = 0; i < tall; ++i) multiply_add(sums.at[i][j], a[i], first.middle, second.middle);
#pragma unroll
  for (int i = 0; i < tall; ++i) multiply_add(sums.at[i][j], a[i], first.low, second.low);
}

/// 32 numbers of the depth of rows l/4 + 8·i, eight of them a lane's: of the first 16 and the second.
template <int tall>
struct RowParts {
  std::uint32_t first[tall][4], second[tall][4];
};
template <int tall>
__device__ inline void read_rows(const std::uint16_t* x, int stride, int rows, RowParts<tall>& parts) {
#pragma unroll
  for (int i = 0; i < 2 * tall; ++i) {
    const uint4 words = 8 * i < rows ? *reinterpret_cast<const uint4*>(x + 8 * i * stride) : make_uint4(0, 0, 0, 0);
    parts.first[i / 2][i % 2] = words.x, parts.first[i / 2][i % 2 + 2] = words.y;
    parts.second[i / 2][i % 2] = words.z, parts.second[i / 2][i % 2 + 2] = words.w;
  }
}

/// The part of strand `strand` in rows from `row` and columns from `column` on, 32 of them.
template <int tall>
__device__ void multiply(const TileOperands& o, const TileShape& s, std::int64_t row, int column, int strand,
                         WarpSums<tall>& sums) {
  const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / 4, quad = lane % 4;
  const int x_stride = static_cast<int>(o.x_stride), w_stride = static_cast<int>(o.w_stride);
  const int rows = static_cast<int>(o.rows - row - group < s.rows() ? o.rows - row - group : s.rows());
  const int columns = o.columns - column - group;
  const std::uint16_t* x = o.x + (row + group) * o.x_stride + 8 * quad;
  const float* w = o.w + (column + group) * o.w_stride + 8 * quad;
#pragma unroll 1
  for (int begin = strand * chunk; begin < o.depth; begin += s.strands * chunk) {
    const bool in = begin + 8 * quad < o.depth;
    RowParts<tall> parts;
    read_rows<tall>(x + begin, x_stride, in ? rows : 0, parts);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (column + 8 * j >= o.columns) continue;  // all lanes alike
      const EightFloats of_lane = eight(w + 8 * j * w_stride + begin, in && 8 * j < columns);
      add_pairs<tall>(parts.first, of_lane.low, j, sums);
      add_pairs<tall>(parts.second, of_lane.high, j, sums);
    }
  }
}

/// The sums of all strands of a block's tile in shared memory, for rows from `row` and columns from `column` on. Ends
/// with a barrier.
template <int tall>
__device__ void multiply_tile(const TileOperands& o, const TileShape& s, std::int64_t row, int column, float* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32, strand = warp / s.across, in_tile = warp % s.across * 32;
  const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / 4, quad = lane % 4;
  if (strand < s.strands) {
    WarpSums<tall> sums{};
    multiply<tall>(o, s, row, column + in_tile, strand, sums);
    float* to = shared + strand * s.rows() * s.stride() + in_tile + 2 * quad;
#pragma unroll
    for (int i = 0; i < tall; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float(&c)[4] = sums.at[i][j];
        float* at = to + (16 * i + group) * s.stride() + 8 * j;
        *reinterpret_cast<float2*>(at) = make_float2(c[0], c[1]);
        *reinterpret_cast<float2*>(at + 8 * s.stride()) = make_float2(c[2], c[3]);
      }
  }
  __syncthreads();
}

/// An element of the tile: its strands in order.
__device__ inline float sum_strands(const TileShape& s, const float* shared, int row, int column) {
  const float* at = shared + row * s.stride() + column;
  float sum = *at;
  for (int strand = 1; strand < s.strands; ++strand) sum += at[strand * s.rows() * s.stride()];
  return sum;
}

}  // namespace switchyard::products::split
