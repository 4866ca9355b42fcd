// A row of a layer's experts in the registers of a warp: reading, writing, sums, and the order of experts.
#pragma once
#include "moe/routers/warps.hpp"
#include "tensor/lanes.hpp"
#include "tensor/math.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::moe::warps {

using gpu::all_lanes;
using gpu::warp;

constexpr int token_block = 128;  ///< threads of a block
constexpr int block_tokens = token_block / warp;
constexpr std::int32_t nothing = INT32_MIN;  ///< below the key of every score

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % warp; }

/// `slots` experts a lane, read `vector` at a time. Those of a lane ascend with the slot.
template <int slots_, int vector_>
struct RowShape {
  static constexpr int slots = slots_, vector = vector_;
  __device__ static int expert(int i) { return (i / vector * warp + lane()) * vector + i % vector; }
  __device__ static int owner(int id) { return id / vector % warp; }
};

/// Calls f with the shape of rows of n experts. Vectors need rows that start at 16 bytes.
template <class F>
void by_shape(int n, const F& f) {
  expect(n >= 1 && n <= max_experts, "a row of experts that a warp holds");
  if (n <= 32) return f(RowShape<1, 1>{});
  if (n <= 64) return f(RowShape<2, 1>{});
  if (n <= 128) return f(RowShape<4, 1>{});
  if (n % 4 != 0) return f(RowShape<32, 1>{});
  if (n <= 256) return f(RowShape<8, 4>{});
  if (n <= 512) return f(RowShape<16, 4>{});
  f(RowShape<32, 4>{});
}

inline void expect_rows(int n, const void* data) {
  expect(n <= 128 || n % 4 != 0 || reinterpret_cast<std::uintptr_t>(data) % 16 == 0, "rows that start at 16 bytes");
}

/// v = a row of n experts, `past` beyond its end.
template <class S>
__device__ inline void read(const float* row, int n, float past, float (&v)[S::slots]) {
#pragma unroll
  for (int i = 0; i < S::slots; i += S::vector) {
    const int e = S::expert(i);
    if constexpr (S::vector == 4) {
      const float4 word = e < n ? *reinterpret_cast<const float4*>(row + e) : make_float4(past, past, past, past);
      v[i] = word.x, v[i + 1] = word.y, v[i + 2] = word.z, v[i + 3] = word.w;
    } else {
      v[i] = e < n ? row[e] : past;
    }
  }
}

template <class S>
__device__ inline void write(const float (&v)[S::slots], int n, float* row) {
#pragma unroll
  for (int i = 0; i < S::slots; i += S::vector) {
    const int e = S::expert(i);
    if (e >= n) continue;
    if constexpr (S::vector == 4)
      *reinterpret_cast<float4*>(row + e) = make_float4(v[i], v[i + 1], v[i + 2], v[i + 3]);
    else
      row[e] = v[i];
  }
}

/// The sum over all lanes, the same bits in each.
__device__ inline float sum_lanes(float value) {
#pragma unroll
  for (int distance = warp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(all_lanes, value, distance);
  return value;
}

/// Σ f(slot): the slots of a lane in order, then lanes.
template <class S, class F>
__device__ inline float sum_row(const F& f) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < S::slots; ++i) sum += f(i);
  return sum_lanes(sum);
}

/// Σ a·b by fused multiply-adds in the same order.
template <class S>
__device__ inline float dot_row(const float (&a)[S::slots], const float (&b)[S::slots]) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < S::slots; ++i) sum = fmaf(a[i], b[i], sum);
  return sum_lanes(sum);
}

/// The largest of a row, not-a-number above all.
template <class S>
__device__ inline float max_row(const float (&v)[S::slots]) {
  std::int32_t top = ordered_bits(v[0]);
#pragma unroll
  for (int i = 1; i < S::slots; ++i) top = max(top, ordered_bits(v[i]));
  return from_ordered_bits(__reduce_max_sync(all_lanes, top));
}

/// v(id), the same in all lanes, which all ask for the same expert of the row.
template <class S>
__device__ inline float pick(const float (&v)[S::slots], int id) {
  float value = v[0];
#pragma unroll
  for (int i = 1; i < S::slots; ++i) value = S::expert(i) == id ? v[i] : value;
  return __shfl_sync(all_lanes, value, S::owner(id));
}

/// Order of scores as integers, NaN included; −0 equals +0.
__device__ inline std::int32_t key_of(float score) {
  const std::int32_t key = ordered_bits(score + 0.0f);
  return key > nothing ? key : nothing + 1;
}

/// An expert in the order: key descending, then id ascending.
struct Ranked {
  std::int32_t key, id;
};
__device__ inline Ranked before_all() { return {INT32_MAX, -1}; }

/// The first of all lanes' experts in the order; id −1 where no lane has one.
__device__ inline Ranked first_of_lanes(Ranked best) {
  const std::int32_t top = __reduce_max_sync(all_lanes, best.key);
  const std::int32_t id = __reduce_min_sync(all_lanes, best.key == top ? best.id : INT32_MAX);
  return {top, top == nothing ? -1 : id};
}

/// The first of the experts [first, last) after `taken`.
template <class S>
__device__ inline Ranked next_best(const std::int32_t (&key)[S::slots], int first, int last, Ranked taken) {
  Ranked best{nothing, INT32_MAX};
#pragma unroll
  for (int i = 0; i < S::slots; ++i) {
    const int e = S::expert(i);
    const bool later = key[i] < taken.key || (key[i] == taken.key && e > taken.id);
    if (later && e >= first && e < last && key[i] > best.key) best = {key[i], e};
  }
  return first_of_lanes(best);
}

}  // namespace switchyard::moe::warps
