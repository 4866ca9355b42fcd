// What becomes of the sums of a tile: how a warp's registers turn into rows of memory, and results without more ado. A
// warp's sums stand two by two in four threads a row (the layout of wgmma); the four exchange them, so that each reads
// and writes 16 bytes. No barrier, no shared memory: each warp is on its own.
#pragma once
#include "tensor/products/experts_cuda.hpp"
#include "tensor/products/experts_kernel_cuda.hpp"

namespace switchyard::products::experts {

using Bf16Pair = __nv_bfloat162;

struct Eight {
  float x[8];
};

/// Columns 32·chunk + 8·(thread mod 4) + [0, 8) of row (thread mod 32) / 4 + 8·half of the warp's 16.
template <int n>
__device__ __forceinline__ Eight exchange(const float (&sums)[n], int chunk, int half) {
  float v[4][2];
#pragma unroll
  for (int j = 0; j < 4; ++j)
#pragma unroll
    for (int b = 0; b < 2; ++b) v[j][b] = sums[(4 * chunk + j) * 4 + 2 * half + b];
#pragma unroll
  for (int bit = 1; bit < 4; bit *= 2)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int b = 0; b < 2; ++b) {
        if (j & bit) continue;
        const bool high = threadIdx.x & bit;
        const float other = __shfl_xor_sync(~0u, high ? v[j][b] : v[j | bit][b], bit);
        v[j][b] = high ? other : v[j][b];
        v[j | bit][b] = high ? v[j | bit][b] : other;
      }
  return {v[0][0], v[0][1], v[1][0], v[1][1], v[2][0], v[2][1], v[3][0], v[3][1]};
}

__device__ __forceinline__ Eight floats(uint4 bits) {
  const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
  Eight v;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    v.x[2 * i] = __uint_as_float(words[i] << 16);
    v.x[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000u);
  }
  return v;
}

__device__ __forceinline__ void write_8(__nv_bfloat16* to, const Eight& v) {
  uint4 bits;
  auto* words = reinterpret_cast<Bf16Pair*>(&bits);
#pragma unroll
  for (int i = 0; i < 4; ++i) words[i] = __floats2bfloat162_rn(v.x[2 * i], v.x[2 * i + 1]);
  *reinterpret_cast<uint4*>(to) = bits;
}

/// This thread's first row in the warpgroup's block of 64, and its first column in a chunk of 32.
__device__ __forceinline__ int own_row() { return threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4; }
__device__ __forceinline__ int own_column() { return threadIdx.x % 4 * 8; }

/// Word j of the thread becomes word (thread mod 4) of thread j of the four of a row; its own inverse.
__device__ __forceinline__ uint4 transpose(const std::uint32_t (&words)[4]) {
  std::uint32_t v[4] = {words[0], words[1], words[2], words[3]};
#pragma unroll
  for (int bit = 1; bit < 4; bit *= 2)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (j & bit) continue;
      const bool high = threadIdx.x & bit;
      const std::uint32_t other = __shfl_xor_sync(~0u, high ? v[j] : v[j | bit], bit);
      v[j] = high ? other : v[j];
      v[j | bit] = high ? v[j | bit] : other;
    }
  return {v[0], v[1], v[2], v[3]};
}

__device__ __forceinline__ std::uint32_t pack(float low, float high) {
  const Bf16Pair pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

/// Sums of a chunk of 32 columns and one half of the rows as the layout of wgmma has them: v[2·j + b] is column
/// 8·j + 2·(thread mod 4) + b.
template <int n>
__device__ __forceinline__ Eight as_summed(const float (&sums)[n], int chunk, int half) {
  Eight v;
#pragma unroll
  for (int i = 0; i < 8; ++i) v.x[i] = sums[(4 * chunk + i / 2) * 4 + 2 * half + i % 2];
  return v;
}

/// Values in that layout as bf16: afterwards eight columns side by side, as by exchange().
__device__ __forceinline__ uint4 packed(const Eight& v) {
  return transpose({pack(v.x[0], v.x[1]), pack(v.x[2], v.x[3]), pack(v.x[4], v.x[5]), pack(v.x[6], v.x[7])});
}

__device__ __forceinline__ uint4 read_16(const void* p) { return *static_cast<const uint4*>(p); }
__device__ __forceinline__ void write_16(void* p, uint4 bits) { *static_cast<uint4*>(p) = bits; }

/// Has the cache fetch lines that finish() will read, while the products are computed: of `rows` rows of at most
/// 64·height, `line_elements` elements a line. By a warpgroup.
template <int lines, class T>
__device__ __forceinline__ void fetch_rows(const T* data, std::int64_t stride, int rows, int columns) {
  constexpr int line_elements = 128 / sizeof(T);
  for (int i = threadIdx.x % 128; i < rows * lines; i += 128) {
    const int c = i % lines * line_elements;
    if (c < columns) asm volatile("prefetch.global.L2 [%0];" ::"l"(data + i / lines * stride + c));
  }
}

/// Where the results of up to three matrices go: rows of T.
template <class T>
struct Targets {
  T* data[max_matrices];
  std::int64_t stride[max_matrices];
  int columns[max_matrices];

  __device__ __forceinline__ T* at(const Part& part) const {
    return data[part.matrix] + part.row * stride[part.matrix] + part.column;
  }
  template <int height, int tile_columns>
  __device__ __forceinline__ void fetch(const Part& part) const {
    fetch_rows<static_cast<int>(tile_columns * sizeof(T) / 128)>(
        at(part), stride[part.matrix], min(part.rows, 64 * height), columns[part.matrix] - part.column);
  }
};

/// y = the sums as bf16, or y + the sums.
struct Halves {
  static constexpr int least_columns = 64;  // of a tile
  Targets<__nv_bfloat16> to;
  bool add;

  template <int height, int tile_columns>
  __device__ __forceinline__ void prepare(const Part& part) const {
    if (add) to.fetch<height, tile_columns>(part);
  }

  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], const Part& part) const {
    const std::int64_t stride = to.stride[part.matrix];
    const int columns = to.columns[part.matrix] - part.column - own_column();
    __nv_bfloat16* const y = to.at(part) + own_row() * stride + own_column();
#pragma unroll
    for (int chunk = 0; chunk < n / 16; ++chunk)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const bool inside = own_row() + 8 * half < part.rows && 32 * chunk < columns;
        __nv_bfloat16* const at = y + 8 * half * stride + 32 * chunk;
        Eight v = as_summed(sums, chunk, half);
        if (add) v = plus(v, inside ? read_16(at) : uint4{});
        const uint4 bits = packed(v);
        if (inside) write_16(at, bits);
      }
  }

  /// v + eight columns side by side in memory, which go to the layout of v first.
  __device__ __forceinline__ static Eight plus(Eight v, uint4 bits) {
    const Eight old = floats(transpose({bits.x, bits.y, bits.z, bits.w}));
#pragma unroll
    for (int i = 0; i < 8; ++i) v.x[i] = old.x[i] + v.x[i];
    return v;
  }
};

/// Sums 4·(thread / 2 mod 2) + [0, 4) of the left eight columns of a pair of them, by odd threads of the right eight.
__device__ __forceinline__ float4 four_of(const float* left) {
  const bool odd = threadIdx.x & 1;
  const float* right = left + 4;
  const float x = __shfl_xor_sync(~0u, odd ? left[0] : right[0], 1);
  const float y = __shfl_xor_sync(~0u, odd ? left[1] : right[1], 1);
  return odd ? float4{x, y, right[0], right[1]} : float4{left[0], left[1], x, y};
}
__device__ __forceinline__ int own_four() { return (threadIdx.x & 1) * 8 + threadIdx.x % 4 / 2 * 4; }

/// y = the sums in floats, or y + the sums: reads are a few ahead.
struct Floats {
  static constexpr int least_columns = 64;  // of a tile
  Targets<float> to;
  bool add;

  template <int height, int tile_columns>
  __device__ __forceinline__ void prepare(const Part& part) const {
    if (add) to.fetch<height, tile_columns>(part);
  }

  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], const Part& part) const {
    constexpr int ahead = 6;
    const std::int64_t stride = to.stride[part.matrix];
    const int columns = to.columns[part.matrix] - part.column - own_four();
    float* const y = to.at(part) + own_row() * stride + own_four();
    // Number i: half i / (n / 8) of the rows, pair i mod (n / 8) of eights of columns.
    const auto at = [&](int i) { return y + i / (n / 8) * 8 * stride + i % (n / 8) * 16; };
    const auto inside = [&](int i) { return own_row() + i / (n / 8) * 8 < part.rows && i % (n / 8) * 16 < columns; };
    float4 old[ahead] = {};
#pragma unroll
    for (int i = 0; i < ahead; ++i)
      if (add && inside(i)) old[i] = *reinterpret_cast<const float4*>(at(i));
#pragma unroll
    for (int i = 0; i < n / 4; ++i) {
      const float4 sum = four_of(sums + 8 * (i % (n / 8)) + 2 * (i / (n / 8))), was = old[i % ahead];
      if (i + ahead < n / 4 && add && inside(i + ahead))
        old[i % ahead] = *reinterpret_cast<const float4*>(at(i + ahead));
      if (!inside(i)) continue;
      *reinterpret_cast<float4*>(at(i)) =
          add ? float4{was.x + sum.x, was.y + sum.y, was.z + sum.z, was.w + sum.w} : sum;
    }
  }
};

}  // namespace switchyard::products::experts
