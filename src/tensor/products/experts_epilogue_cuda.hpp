// What becomes of the sums of an expert's hidden layer: activations and their gradients.
#pragma once
#include "tensor/products/experts_activation_cuda.hpp"
#include "tensor/products/experts_results_cuda.hpp"

namespace switchyard::products::experts {

constexpr int dots_columns = 128;  // columns of a partial dot product, in every Shape

/// hidden(rows, columns) = relu or gelu of the sums, and slope its derivative (null: not wanted).
struct Activated {
  static constexpr int least_columns = 64;  // of a tile
  __nv_bfloat16 *hidden, *slope;
  int columns;
  Activation kind;

  template <int height, int tile_columns>
  __device__ void prepare(const Part&) const {}

  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], const Part& part) const {
    const int c = part.column + own_column();
    const std::int64_t first = static_cast<std::int64_t>(part.row + own_row()) * columns + c;
#pragma unroll
    for (int chunk = 0; chunk < n / 16; ++chunk)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        write(as_summed(sums, chunk, half), first + 8 * half * columns + 32 * chunk,
              own_row() + 8 * half < part.rows && c + 32 * chunk < columns);
  }

  __device__ __forceinline__ void write(const Eight& up, std::int64_t at, bool inside) const {
    Eight h, s;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const Value v = kind == Activation::relu ? relu(up.x[i]) : gelu(up.x[i]);
      h.x[i] = v.hidden;
      s.x[i] = v.by_up;
    }
    const uint4 bits = packed(h);
    if (inside) write_16(hidden + at, bits);
    if (slope == nullptr) return;
    const uint4 slopes = packed(s);
    if (inside) write_16(slope + at, slopes);
  }
};

/// The left half of the sums is up, the right half the gate of the same channels: hidden = silu(gate)·up, and its
/// derivatives (null: not wanted).
struct Gated {
  static constexpr int least_columns = 64;  // of a tile
  __nv_bfloat16 *hidden, *slope_up, *slope_gate;
  int columns;

  template <int height, int tile_columns>
  __device__ void prepare(const Part&) const {}

  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], const Part& part) const {
    const int c = part.column / 2 + own_column();
    const std::int64_t first = static_cast<std::int64_t>(part.row + own_row()) * columns + c;
#pragma unroll
    for (int chunk = 0; chunk < n / 32; ++chunk)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        write(as_summed(sums, chunk + n / 32, half), as_summed(sums, chunk, half),
              first + 8 * half * columns + 32 * chunk, own_row() + 8 * half < part.rows && c + 32 * chunk < columns);
  }

  __device__ __forceinline__ void write(const Eight& gate, const Eight& up, std::int64_t at, bool inside) const {
    Eight h, by_up, by_gate;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const Value v = swiglu(gate.x[i], up.x[i]);
      h.x[i] = v.hidden;
      by_up.x[i] = v.by_up;
      by_gate.x[i] = v.by_gate;
    }
    const uint4 bits = packed(h);
    if (inside) write_16(hidden + at, bits);
    if (slope_up == nullptr) return;
    const uint4 ups = packed(by_up), gates = packed(by_gate);
    if (inside) write_16(slope_up + at, ups), write_16(slope_gate + at, gates);
  }
};

/// The sums are d_hidden without the rows' factors. up and gate (or null) turn from slopes into gradients,
/// slope·factor·sum; scaled = factor·hidden; dots(rows, ⌈columns / 128⌉) = Σ sum·hidden over 128 columns, a chain over
/// a thread's chunks, then (0 + 1) + (2 + 3) over the four threads of a row. factor, scaled, dots may be null, hidden
/// too if both of those are.
struct Sloped {
  static constexpr int least_columns = dots_columns;
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

  template <int height, int tile_columns>
  __device__ __forceinline__ void prepare(const Part& part) const {
    constexpr int lines = tile_columns * 2 / 128;
    const std::int64_t at = static_cast<std::int64_t>(part.row) * columns + part.column;
    const int rows = min(part.rows, 64 * height), left = columns - part.column;
    fetch_rows<lines>(up + at, columns, rows, left);
    if (gate) fetch_rows<lines>(gate + at, columns, rows, left);
    if (hidden) fetch_rows<lines>(hidden + at, columns, rows, left);
  }

  __device__ __forceinline__ Read read(std::int64_t at, bool inside) const {
    Read r{};
    if (!inside) return r;
    r.up = read_16(up + at);
    if (gate) r.gate = read_16(gate + at);
    if (hidden) r.hidden = read_16(hidden + at);
    return r;
  }

  /// Reads are a few chunks ahead: number i is half i / chunks of the rows, chunk i mod chunks of the columns.
  template <int n>
  __device__ __forceinline__ void finish(const float (&sums)[n], const Part& part) const {
    constexpr int chunks = n / 16, ahead = 3;  // more would spill
    const int row = part.row + own_row(), c = part.column + own_column();
    const bool valid[2] = {own_row() < part.rows, own_row() + 8 < part.rows};
    const float w[2] = {factor && valid[0] ? factor[row] : 1.0f, factor && valid[1] ? factor[row + 8] : 1.0f};
    const std::int64_t first = static_cast<std::int64_t>(row) * columns + c;
    const auto at = [&](int i) { return first + (i / chunks * 8 * columns + i % chunks * 32); };
    const auto inside = [&](int i) { return valid[i / chunks] && i % chunks * 32 < columns - c; };
    Read reads[ahead];
#pragma unroll
    for (int i = 0; i < ahead; ++i) reads[i] = read(at(i), inside(i));
    float dot = 0.0f;
#pragma unroll
    for (int i = 0; i < 2 * chunks; ++i) {
      dot = write(exchange(sums, i % chunks, i / chunks), reads[i % ahead], w[i / chunks], inside(i) ? at(i) : -1, dot);
      if (i + ahead < 2 * chunks) reads[i % ahead] = read(at(i + ahead), inside(i + ahead));
      if (dots == nullptr || i % 4 != 3) continue;
      write_dot(dot, row + i / chunks * 8, valid[i / chunks], part.column / dots_columns + i % chunks / 4);
      dot = 0.0f;
    }
  }

  /// The sum over the four threads of a row.
  __device__ __forceinline__ void write_dot(float dot, int row, bool valid, int block) const {
    dot += __shfl_xor_sync(~0u, dot, 1);
    dot += __shfl_xor_sync(~0u, dot, 2);
    const int blocks = (columns + dots_columns - 1) / dots_columns;
    if (valid && block < blocks && threadIdx.x % 4 == 0) dots[static_cast<std::int64_t>(row) * blocks + block] = dot;
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
