// The products of experts whose rows lie one after another, forward and backward, on Hopper GPUs: bf16 operands, sums
// and epilogues in floats. Loads are read on the device; the host knows a bound of the rows only.
//
// Contract C1: a sum is one chain over the depth whatever the tile, so a row's bits depend on its expert and itself.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "config/enums.hpp"

namespace switchyard::products::experts {

/// Shape of the tiles; all give the same bits. tall: 128 × 256, two warpgroups together. flat: 64 × 256, square:
/// 128 × 128, small: 64 × 128, tiny: 64 × 64 (not for hidden_gradient), a tile for each of two warpgroups, whose
/// epilogues hide behind each other's products. pair: two blocks, one tile below the other, which share the copies of
/// the weights; for loads well above 128 rows.
enum class TileShape { automatic, tall, flat, square, small, tall_pair, flat_pair, tiny };

constexpr int max_count = 1024;  ///< of experts in one call

/// What the products of a layer share. Expert e has rows [first[e], last[e]), which no other has. Both tables are in
/// device memory; where they are null experts lie one after another, each of `most` rows. `rows` bounds the rows of all
/// experts and where they end, below 2³¹; matrices of rows have memory for it.
struct Call {
  const std::int64_t *first, *last;
  int experts;
  std::int64_t rows, most;
  int width, hidden;  ///< d and f; multiples of 8
  cudaStream_t stream;
  TileShape tile = TileShape::automatic;
  std::uint32_t* hang = nullptr;  ///< host-mapped word to which a wait without end writes its place before it traps
};

constexpr int max_matrices = 3;  ///< of one launch

/// The matrix of expert e begins e·next elements on, its rows lie `stride` elements apart, or one after another where
/// that is 0; both are multiples of 8, data 16-byte aligned. next 0: all experts have one matrix.
struct Matrices {
  const __nv_bfloat16* data = nullptr;
  std::int64_t next = 0;
  std::int64_t stride = 0;
};

/// hidden(rows, f) = activation(x·upᵀ, x·gateᵀ), up and gate (f, d). Row r of x is row index[r] of x (sources, d), or r
/// where index is null. slope_up, and slope_gate where gated, (rows, f), are the activation's derivatives; null: not
/// wanted.
struct Up {
  Activation activation;
  const __nv_bfloat16* x;
  const std::int32_t* index;
  Matrices up, gate;
  __nv_bfloat16 *hidden, *slope_up, *slope_gate;
};
void up(const Call& call, const Up& p);

/// y(rows, d) = hidden(rows, f)·downᵀ, down (d, f).
struct Down {
  const __nv_bfloat16* hidden;
  Matrices down;
  __nv_bfloat16* y;
};
void down(const Call& call, const Down& p);

/// s(rows, f) = dy·down, down (d, f); row r of dy is row index[r] of dy (sources, d), or r where index is null. up, and
/// gate where not null, (rows, f), turn from slopes into gradients slope·factor[r]·s. scaled(rows, f) = factor·hidden,
/// may be hidden itself. dots(rows, ⌈f / 128⌉) = sums of s·hidden over 128 columns. factor (rows), scaled, dots may be
/// null; hidden too where both of those are.
struct HiddenGradient {
  const __nv_bfloat16* dy;
  const std::int32_t* index;
  Matrices down;
  __nv_bfloat16 *up, *gate;
  const __nv_bfloat16* hidden;
  __nv_bfloat16* scaled;
  const float* factor;
  float* dots;
};
void hidden_gradient(const Call& call, const HiddenGradient& p);

/// dx(rows, d) = d_up(rows, f)·up + d_gate·gate, up and gate (f, d); without gate where d_gate is null.
struct InputGradient {
  const __nv_bfloat16 *d_up, *d_gate;
  Matrices up, gate;
  __nv_bfloat16* dx;
};
void input_gradient(const Call& call, const InputGradient& p);

/// What becomes of sums: rows of bf16 or floats, `stride` elements apart, 16-byte aligned; replaced, or added to, one
/// addition of floats after the sum.
struct Result {
  void* data = nullptr;
  std::int64_t stride = 0;
};
struct Results {
  bool floats = false, add = false;
};

/// y_i(rows, columns_i) = x(rows, depth)·w_iᵀ, w_i (columns_i, depth), for i < count; rows of x lie `stride` elements
/// apart. All widths and strides are multiples of 8. Of the call, width and hidden are not used.
struct Linear {
  const __nv_bfloat16* x;
  std::int64_t stride;
  int depth, count;
  Matrices w[max_matrices];
  int columns[max_matrices];
  Result y[max_matrices];
  Results results;
};
void linear(const Call& call, const Linear& p);

/// dx(rows, columns) = Σ over i < count of dy_i(rows, depth_i)·w_i, w_i (depth_i, columns): one chain through the
/// depths of all i. Rows of dy_i lie stride_i elements apart.
struct LinearGradient {
  int columns, count;
  const __nv_bfloat16* dy[max_matrices];
  std::int64_t stride[max_matrices];
  int depth[max_matrices];
  Matrices w[max_matrices];
  Result dx;
  Results results;
};
void linear_gradient(const Call& call, const LinearGradient& p);

}  // namespace switchyard::products::experts
