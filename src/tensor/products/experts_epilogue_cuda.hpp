// What becomes of the sums of a tile. A warp's sums stand two by two in four threads a row (the layout of wgmma); first
// the four exchange them, so that each has eight columns side by side and reads and writes 16 bytes. No barrier, no
// shared memory: each warp is on its own.
#pragma once
#include "tensor/activation.hpp"
#include "tensor/products/experts_tiles_cuda.hpp"

namespace switchyard::products::experts {

using Bf16Pair = __nv_bfloat162;
constexpr int dots_columns = 128;  // columns of a partial dot product, in every Shape

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

/// y(rows, columns) = the sums.
struct Plain {
  __nv_bfloat16* y;
  int columns;

  template <int tile_columns>
  __device__ void prepare(int, int, int) const {}

  /// Rows [row, row + rows) of at most 64, from `column` on.
  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], int row, int rows, int column) const {
#pragma unroll
    for (int chunk = 0; chunk < n / 16; ++chunk)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Eight v = exchange(sums, chunk, half);
        const int r = own_row() + 8 * half, c = column + 32 * chunk + own_column();
        if (r < rows && c < columns) write_8(y + static_cast<std::int64_t>(row + r) * columns + c, v);
      }
  }
};

/// hidden(rows, columns) = relu or gelu of the sums, and slope its derivative (null: not wanted).
struct Activated {
  __nv_bfloat16 *hidden, *slope;
  int columns;
  Activation kind;

  template <int tile_columns>
  __device__ void prepare(int, int, int) const {}

  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], int row, int rows, int column) const {
#pragma unroll
    for (int chunk = 0; chunk < n / 16; ++chunk)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Eight v = exchange(sums, chunk, half);
        const int r = own_row() + 8 * half, c = column + 32 * chunk + own_column();
        if (r < rows && c < columns) write(v, static_cast<std::int64_t>(row + r) * columns + c);
      }
  }

  __device__ __forceinline__ void write(const Eight& up, std::int64_t at) const {
    Eight h, s;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const auto point = kind == Activation::relu ? activation::relu_at(up.x[i]) : activation::gelu_at(up.x[i]);
      h.x[i] = point.hidden;
      s.x[i] = point.by_up;
    }
    write_8(hidden + at, h);
    if (slope) write_8(slope + at, s);
  }
};

/// The left half of the sums is up, the right half the gate of the same channels: hidden = silu(gate)·up, and its
/// derivatives (null: not wanted).
struct Gated {
  __nv_bfloat16 *hidden, *slope_up, *slope_gate;
  int columns;

  template <int tile_columns>
  __device__ void prepare(int, int, int) const {}

  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], int row, int rows, int column) const {
#pragma unroll
    for (int chunk = 0; chunk < n / 32; ++chunk)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Eight up = exchange(sums, chunk, half), gate = exchange(sums, chunk + n / 32, half);
        const int r = own_row() + 8 * half, c = column / 2 + 32 * chunk + own_column();
        if (r < rows && c < columns) write(gate, up, static_cast<std::int64_t>(row + r) * columns + c);
      }
  }

  __device__ __forceinline__ void write(const Eight& gate, const Eight& up, std::int64_t at) const {
    Eight h, by_up, by_gate;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const auto point = activation::swiglu_at(gate.x[i], up.x[i]);
      h.x[i] = point.hidden;
      by_up.x[i] = point.by_up;
      by_gate.x[i] = point.by_gate;
    }
    write_8(hidden + at, h);
    if (slope_up == nullptr) return;
    write_8(slope_up + at, by_up);
    write_8(slope_gate + at, by_gate);
  }
};

/// The sums are d_hidden without the rows' factors. up and gate (or null) turn from slopes into gradients,
/// slope·factor·sum; scaled = factor·hidden; dots(rows, ⌈columns / 128⌉) = Σ sum·hidden over 128 columns, a chain over
/// a thread's chunks, then (0 + 1) + (2 + 3) over the four threads of a row. factor, scaled, dots may be null, hidden
/// too if both of those are.
struct Sloped {
  __nv_bfloat16 *up, *gate;
  const __nv_bfloat16* hidden;
  __nv_bfloat16* scaled;
  const float* factor;
  float* dots;
  int columns;

  /// What finish() reads of a chunk: 16 bytes each.
  struct Read {
    uint4 up, gate, hidden;
  };

  /// Has the cache fetch what finish() will read, while the products are computed.
  template <int tile_columns>
  __device__ __forceinline__ void prepare(int row, int rows, int column) const {
    constexpr int lines = tile_columns * 2 / 128;
    for (int i = threadIdx.x % 128; i < rows * lines; i += 128) {
      const int c = column + i % lines * 64;
      if (c >= columns) continue;
      const std::int64_t at = static_cast<std::int64_t>(row + i / lines) * columns + c;
      fetch(up + at);
      if (gate) fetch(gate + at);
      if (hidden) fetch(hidden + at);
    }
  }
  __device__ static void fetch(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

  __device__ __forceinline__ Read read(std::int64_t at, bool inside) const {
    Read r{};
    if (!inside) return r;
    r.up = *reinterpret_cast<const uint4*>(up + at);
    if (gate) r.gate = *reinterpret_cast<const uint4*>(gate + at);
    if (hidden) r.hidden = *reinterpret_cast<const uint4*>(hidden + at);
    return r;
  }

  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], int row, int rows, int column) const {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      finish_row(sums, half, row + own_row() + 8 * half, own_row() + 8 * half < rows, column);
  }

  /// One row of this thread: reads are one chunk ahead.
  template <int n>
  __device__ __forceinline__ void finish_row(const float (&sums)[n], int half, int row, bool valid, int column) const {
    const int c = column + own_column();
    const std::int64_t at = static_cast<std::int64_t>(row) * columns + c;
    const float w = factor && valid ? factor[row] : 1.0f;
    Read next = read(at, valid && c < columns);
    float dot = 0.0f;
#pragma unroll
    for (int chunk = 0; chunk < n / 16; ++chunk) {
      const Read now = next;
      const bool inside = valid && c + 32 * chunk < columns;
      if (chunk + 1 < n / 16) next = read(at + 32 * (chunk + 1), valid && c + 32 * (chunk + 1) < columns);
      dot = write(exchange(sums, chunk, half), now, w, inside ? at + 32 * chunk : -1, dot);
      if (dots == nullptr || chunk % 4 != 3) continue;
      dot += __shfl_xor_sync(~0u, dot, 1);
      dot += __shfl_xor_sync(~0u, dot, 2);
      const int block = column / dots_columns + chunk / 4, blocks = (columns + dots_columns - 1) / dots_columns;
      if (valid && block < blocks && threadIdx.x % 4 == 0) dots[static_cast<std::int64_t>(row) * blocks + block] = dot;
      dot = 0.0f;
    }
  }

  /// Eight columns, at < 0: outside. Returns dot + Σ sum·hidden.
  __device__ __forceinline__ float write(const Eight& sum, const Read& read, float w, std::int64_t at,
                                         float dot) const {
    if (at < 0) return dot;
    const Eight h = floats(read.hidden);
    const Eight by_up = floats(read.up);
    const Eight by_gate = floats(read.gate);
    Eight d_up, d_gate, scaled_h;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float d = w * sum.x[i];
      d_up.x[i] = d * by_up.x[i];
      d_gate.x[i] = d * by_gate.x[i];
      scaled_h.x[i] = w * h.x[i];
      dot = fmaf(sum.x[i], h.x[i], dot);
    }
    write_8(up + at, d_up);
    if (gate) write_8(gate + at, d_gate);
    if (scaled) write_8(scaled + at, scaled_h);
    return dot;
  }
};

}  // namespace switchyard::products::experts
