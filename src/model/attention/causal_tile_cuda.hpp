// Tiles of bfloat16 in shared memory, 64 rows of a head padded with zeros to `width` channels, and the products of a
// warp with them. Chunks of 16 bytes are permuted within a row so that eight rows of one column meet different banks.
#pragma once
#include "model/attention/causal_rows_cuda.hpp"

namespace switchyard::model::causal {

constexpr int warps_threads = 128;  ///< four warps of 16 rows
constexpr float log2e = 1.44269504f;

/// Thread blocks on a multiprocessor that registers are to be left for.
template <int width>
constexpr int resident = width > 128  ? 1
                         : width > 32 ? 2
                                      : 3;

template <int width>
struct Tile {
  static constexpr int rows = block, chunks = width / 8, count = rows * chunks;  // uint4 of a row, of the tile
  static constexpr int mask = chunks % 8 == 0 ? 7 : chunks % 4 == 0 ? 3 : 1;
  static constexpr int shift = chunks % 8 == 0 ? 0 : chunks % 4 == 0 ? 1 : 2;
  static __device__ int swizzle(int row) { return row >> shift & mask; }
  static __device__ int chunk(int row, int i) { return row * chunks + (i ^ swizzle(row)); }
};

/// Eight channels of a row as a kernel needs them, one by one.
__device__ inline uint4 gather_chunk(const HeadRows<Bf16>& from, int row, int channel) {
  std::uint32_t pair[4];
  for (int e = 0; e < 4; ++e)
    pair[e] = pack_bf16(from.value(row, channel + 2 * e), from.value(row, channel + 2 * e + 1));
  return {pair[0], pair[1], pair[2], pair[3]};
}

/// f(row, chunk) for chunks of the lower half of the channels that are this thread's: it also loads, rotates and guards
/// chunk + chunks/2, so that it needs no barrier before it works on what it has loaded.
template <class L, int threads, class F>
__device__ void own_chunks(const F& f) {
  constexpr int half = L::chunks / 2;
#pragma unroll
  for (int first = 0; first < L::rows * half; first += threads) {
    const int it = first + threadIdx.x;
    if (L::rows * half % threads == 0 || it < L::rows * half) f(it / half, it % half);
  }
}

/// Loads rows [first, first + L::rows) one by one.
template <class L, int threads>
__device__ void gather_tile(uint4* tile, const HeadRows<Bf16>& from, int first) {
  constexpr int half = L::chunks / 2;
#pragma unroll 1
  for (int it = threadIdx.x; it < L::rows * half; it += threads) {
    const int r = it / half, i = it % half;
    tile[L::chunk(r, i)] = gather_chunk(from, first + r, i * 8);
    tile[L::chunk(r, i + half)] = gather_chunk(from, first + r, (i + half) * 8);
  }
}

/// Begins to load rows [first, first + L::rows), zeros after the end. All threads.
template <class L, int threads>
__device__ void load_tile(uint4* tile, const HeadRows<Bf16>& from, int first) {
  if (!from.vectors) return gather_tile<L, threads>(tile, from, first);
  constexpr int half = L::chunks / 2;
  own_chunks<L, threads>([&](int r, int i) {
    const bool there = first + r < from.end;
    const Bf16* row = from.at(there ? first + r : 0, i * 8);
    copy_async(tile + L::chunk(r, i), row, there);
    copy_async(tile + L::chunk(r, i + half), row + half * 8, there);
  });
}

/// Turns two pairs of channels.
__device__ inline void turn_pairs(std::uint32_t& a, std::uint32_t& b, float2 c, float2 s) {
  const float a0 = low_bf16(a), a1 = high_bf16(a), b0 = low_bf16(b), b1 = high_bf16(b);
  a = pack_bf16(__fmaf_rn(-b0, s.x, a0 * c.x), __fmaf_rn(-b1, s.y, a1 * c.y));
  b = pack_bf16(__fmaf_rn(a0, s.x, b0 * c.x), __fmaf_rn(a1, s.y, b1 * c.y));
}

/// Turns eight channels and their partners by the angles of a row.
__device__ inline void turn_chunks(uint4& a, uint4& b, const float* cosine, const float* sine) {
  const auto *c = reinterpret_cast<const float4*>(cosine), *s = reinterpret_cast<const float4*>(sine);
  const float4 c0 = c[0], c1 = c[1], s0 = s[0], s1 = s[1];
  turn_pairs(a.x, b.x, {c0.x, c0.y}, {s0.x, s0.y});
  turn_pairs(a.y, b.y, {c0.z, c0.w}, {s0.z, s0.w});
  turn_pairs(a.z, b.z, {c1.x, c1.y}, {s1.x, s1.y});
  turn_pairs(a.w, b.w, {c1.z, c1.w}, {s1.z, s1.w});
}

/// Turns what this thread has loaded, if the head is to be turned and was not when it was gathered.
template <class L, int threads>
__device__ void turn_own(uint4* tile, const HeadRows<Bf16>& from, int first) {
  if (!from.turn || !from.vectors) return;
  own_chunks<L, threads>([&](int r, int i) {
    if (first + r >= from.end) return;
    uint4 &a = tile[L::chunk(r, i)], &b = tile[L::chunk(r, i + L::chunks / 2)];
    const Index angle = Index{first + r} * (L::chunks * 4) + i * 8;
    turn_chunks(a, b, from.cosine + angle, from.sine + angle);
  });
}

/// Infinities and NaNs of a pair become 0; whether there were any.
__device__ inline bool clear_pair(std::uint32_t& pair) {
  const bool low = (pair & 0x7F80u) == 0x7F80u, high = (pair & 0x7F800000u) == 0x7F800000u;
  if (low) pair &= 0xFFFF0000u;
  if (high) pair &= 0xFFFFu;
  return low || high;
}
__device__ inline bool clear_chunk(uint4& chunk) {
  const bool x = clear_pair(chunk.x), y = clear_pair(chunk.y), z = clear_pair(chunk.z), w = clear_pair(chunk.w);
  return x || y || z || w;
}

/// A tile of which some rows are masked: 0 times what is not finite would be NaN, so that becomes 0 in what this thread
/// has loaded, and f(row) names the rows.
template <class L, int threads, class F>
__device__ void guard_own(uint4* tile, const F& f) {
  own_chunks<L, threads>([&](int r, int i) {
    for (const int c : {i, i + L::chunks / 2}) {
      uint4 chunk = tile[L::chunk(r, c)];
      if (!clear_chunk(chunk)) continue;
      tile[L::chunk(r, c)] = chunk;
      f(r);
    }
  });
}

/// Where this lane finds the 16 x 16 parts of a tile: `row` and `chunk` say which row and half of a part it names.
template <int width>
struct Parts {
  std::uint32_t base, swizzle;
  __device__ Parts(const uint4* tile, int row, int chunk)
      : base(shared_address(tile) + row * width * 2), swizzle(chunk ^ Tile<width>::swizzle(row)) {}
  __device__ std::uint32_t at(int rows16, int channels16) const {
    return base + rows16 * 16 * width * 2 + ((2 * channels16 ^ swizzle) << 4);
  }
  /// Part k of the first 16 rows, into registers.
  __device__ void read(std::uint32_t (&part)[4], int k) const { load_matrices(part, at(0, k)); }
};

/// As the left operand with rows of the tile as its rows; or as the right one, transposed, with rows as its depth.
template <int width>
__device__ Parts<width> by_depth(const uint4* tile, int first = 0) {
  const int lane = threadIdx.x % 32;
  return {tile, first + lane % 16, lane / 16};
}
/// As the right operand with rows of the tile as its columns.
template <int width>
__device__ Parts<width> by_columns(const uint4* tile) {
  const int lane = threadIdx.x % 32;
  return {tile, lane % 8 + lane / 16 * 8, lane / 8 % 2};
}

/// Sums of a warp: 16 rows, n columns.
template <int n>
using Sums = float[n / 8][4];

template <int n>
__device__ void clear(float (&sums)[n][4]) {
#pragma unroll
  for (int i = 0; i < n; ++i)
    for (int e = 0; e < 4; ++e) sums[i][e] = 0.0f;
}

/// sums(16, n) = a(16, width) · b(n, width)ᵀ, of an `a` that reads its parts as Parts do.
template <int width, class A, int n>
__device__ void multiply_rows(float (&sums)[n][4], const A& a, const Parts<width>& b) {
  clear(sums);
#pragma unroll
  for (int k = 0; k < width / 16; ++k) {
    std::uint32_t x[4], y[4];
    a.read(x, k);
#pragma unroll
    for (int j = 0; j < n / 2; ++j) {
      load_matrices(y, b.at(j, k));
      multiply_add(sums[2 * j], x, y[0], y[1]);
      multiply_add(sums[2 * j + 1], x, y[2], y[3]);
    }
  }
}

/// sums(16, c) += weights(16, n) · b(n, channels from 16·first on), weights rounded to bfloat16.
template <int width, int n, int c>
__device__ void add_weighted(float (&sums)[c][4], const float (&weights)[n][4], const Parts<width>& b, int first = 0) {
#pragma unroll
  for (int k = 0; k < n / 2; ++k) {
    const float *low = weights[2 * k], *high = weights[2 * k + 1];
    const std::uint32_t x[4] = {pack_bf16(low[0], low[1]), pack_bf16(low[2], low[3]), pack_bf16(high[0], high[1]),
                                pack_bf16(high[2], high[3])};
#pragma unroll
    for (int j = 0; j < c / 2; ++j) {
      std::uint32_t y[4];
      load_transposed(y, b.at(k, first + j));
      multiply_add(sums[2 * j], x, y[0], y[1]);
      multiply_add(sums[2 * j + 1], x, y[2], y[3]);
    }
  }
}

/// Sums of this warp times a factor of each of the lane's two rows, to shared memory from `warp_row` on.
template <int width, int c>
__device__ void stage(float* to, const float (&sums)[c][4], float2 factor, int warp_row, int column) {
  float* row = to + (warp_row + threadIdx.x % 32 / 4) * staged<width> + column + threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < c; ++j) {
    *reinterpret_cast<float2*>(row + j * 8) = {sums[j][0] * factor.x, sums[j][1] * factor.x};
    *reinterpret_cast<float2*>(row + 8 * staged<width> + j * 8) = {sums[j][2] * factor.y, sums[j][3] * factor.y};
  }
}

template <int width, int rows = block>
__device__ void write_tile(const float* from, const HeadRows<Bf16>& to, int first) {
  if (to.vectors) return write_vectors<width, rows>(from, to, first);
  write_rows<width, rows>(from, to, first);
}

}  // namespace switchyard::model::causal
