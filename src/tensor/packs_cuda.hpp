// Rows as a GPU reads them: packs of eight elements a thread, in 16-byte accesses where the row allows them, and sums
// over the threads of a row. Which thread has which element, and so the order of every sum, follows from the width
// alone.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "tensor/check_cuda.hpp"
#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

namespace switchyard::gpu {

constexpr int pack = 8;
constexpr int warp = 32;
constexpr unsigned all_lanes = 0xFFFFFFFFu;

/// The stream of a queue, for one launch.
inline cudaStream_t stream_of(const Queue& queue) {
  tick();
  return queue.space().cuda_stream();
}

/// Throws where the last launch was refused.
inline void check_launch(const char* kernel) { check_cuda(cudaGetLastError(), kernel); }

inline unsigned blocks_for(Index items, Index in_block) {
  return static_cast<unsigned>((items + in_block - 1) / in_block);
}

/// Whether every row is whole packs that start at 16 bytes. A tensor that is not there has no say.
inline bool in_packs(const Tensor& t) {
  const Index bytes = bytes_of(t.element);
  return !t ||
         (t.width % pack == 0 && t.stride * bytes % 16 == 0 && reinterpret_cast<std::uintptr_t>(t.data) % 16 == 0);
}

__device__ inline void unpack(const uint4& word, float* v) {
  const std::uint32_t words[4] = {word.x, word.y, word.z, word.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    v[2 * i] = __uint_as_float(words[i] << 16);
    v[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000u);
  }
}

/// Two floats rounded as store() does, the first in the low half. What is not a number becomes 0x7FFF.
__device__ inline std::uint32_t rounded_pair(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// v = elements [c, c + 8) of a row of `width`, +0 past its end. `whole`: rows are in_packs.
template <bool whole>
__device__ inline void read(const float* row, int c, int width, float (&v)[pack]) {
  if (whole) {
    const bool in = c < width;
    const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const float4 a = in ? *reinterpret_cast<const float4*>(row + c) : zero;
    const float4 b = in ? *reinterpret_cast<const float4*>(row + c + 4) : zero;
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  } else {
#pragma unroll
    for (int l = 0; l < pack; ++l) v[l] = c + l < width ? row[c + l] : 0.0f;
  }
}

template <bool whole>
__device__ inline void read(const Bf16* row, int c, int width, float (&v)[pack]) {
  if (whole) {
    unpack(c < width ? *reinterpret_cast<const uint4*>(row + c) : make_uint4(0, 0, 0, 0), v);
  } else {
#pragma unroll
    for (int l = 0; l < pack; ++l) v[l] = c + l < width ? load(row[c + l]) : 0.0f;
  }
}

/// Elements [c, c + 8) of a row = v, each rounded once; nothing past its end.
template <bool whole>
__device__ inline void write(const float (&v)[pack], float* row, int c, int width) {
  if (whole) {
    if (c >= width) return;
    *reinterpret_cast<float4*>(row + c) = make_float4(v[0], v[1], v[2], v[3]);
    *reinterpret_cast<float4*>(row + c + 4) = make_float4(v[4], v[5], v[6], v[7]);
  } else {
#pragma unroll
    for (int l = 0; l < pack; ++l)
      if (c + l < width) row[c + l] = v[l];
  }
}

template <bool whole>
__device__ inline void write(const float (&v)[pack], Bf16* row, int c, int width) {
  if (whole) {
    if (c < width)
      *reinterpret_cast<uint4*>(row + c) = make_uint4(rounded_pair(v[0], v[1]), rounded_pair(v[2], v[3]),
                                                      rounded_pair(v[4], v[5]), rounded_pair(v[6], v[7]));
  } else {
#pragma unroll
    for (int l = 0; l < pack; ++l)
      if (c + l < width) store(v[l], row[c + l]);
  }
}

/// Pairs at distance 4, 2, 1.
__device__ inline float pack_tree(const float (&v)[pack]) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

/// The sum over `threads` neighbouring threads of a block of `block` threads, a power of two: the same bits in each.
/// All threads of the block call it the same number of times; `turn` alternates between 0 and 1 from call to call.
template <int threads, int block>
__device__ inline float row_sum(float value, int turn) {
  constexpr int in_warp = threads < warp ? threads : warp;
#pragma unroll
  for (int distance = in_warp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(all_lanes, value, distance);
  if (threads <= warp) return value;
  __shared__ float of_warp[2][block / warp];
  constexpr int warps = threads > warp ? threads / warp : 1;
  if (threadIdx.x % warp == 0) of_warp[turn][threadIdx.x / warp] = value;
  __syncthreads();
  const int first = threadIdx.x / threads * warps;
  float sum[warps];
#pragma unroll
  for (int w = 0; w < warps; ++w) sum[w] = of_warp[turn][first + w];
#pragma unroll
  for (int half = warps / 2; half > 0; half /= 2)
#pragma unroll
    for (int w = 0; w < half; ++w) sum[w] += sum[w + half];
  return sum[0];
}

constexpr int element_block = 256;  ///< threads of a block that works on packs one by one

/// The packs of rows, one after another, one a thread.
struct PackGrid {
  PackGrid(Index rows, Index row_width)
      : in_row(static_cast<unsigned>((row_width + pack - 1) / pack)), width(static_cast<int>(row_width)) {
    const Index all = rows * in_row;
    expect(all < Index{1} << 31, "packs that 32 bits count");
    count = static_cast<unsigned>(all);
  }
  unsigned blocks() const { return blocks_for(count, element_block); }
  /// The row and the first element of this thread's pack; false where it has none.
  __device__ bool find(Index& row, int& c) const {
    const unsigned i = blockIdx.x * element_block + threadIdx.x;
    if (i >= count) return false;
    row = i / in_row;
    c = static_cast<int>(i % in_row) * pack;
    return true;
  }
  unsigned count, in_row;
  int width;
};

/// Calls f with a type that says whether rows are in packs.
template <class F>
void by_packs(bool whole, const F& f) {
  whole ? f(std::true_type{}) : f(std::false_type{});
}

constexpr int row_block = 256;      ///< threads of a block that works on whole rows
constexpr Index max_width = 16384;  ///< of a row that threads hold whole

/// Threads of a row and packs of each thread: pack k of thread t begins at element (k·threads + t)·8.
template <int threads_, int packs_>
struct RowShape {
  static constexpr int threads = threads_, packs = packs_;
  static constexpr int rows = row_block / threads;  ///< of a block
  __device__ static int column(int k) { return (k * threads + static_cast<int>(threadIdx.x) % threads) * pack; }
};

/// Calls f(shape, whole) with the shape of rows of `width` and whether they are in packs, both as types.
template <class F>
void by_shape(Index width, bool whole, const F& f) {
  expect(width <= max_width, "rows of at most 16384 elements");
  const auto with = [&](auto shape) { whole ? f(shape, std::true_type{}) : f(shape, std::false_type{}); };
  if (width <= 128) return with(RowShape<16, 1>{});
  if (width <= 256) return with(RowShape<32, 1>{});
  if (width <= 512) return with(RowShape<64, 1>{});
  if (width <= 1024) return with(RowShape<128, 1>{});
  if (width <= 2048) return with(RowShape<256, 1>{});
  if (width <= 4096) return with(RowShape<256, 2>{});
  if (width <= 8192) return with(RowShape<256, 4>{});
  with(RowShape<256, 8>{});
}

}  // namespace switchyard::gpu
