// A tile of dW = dYᵀ·X of bf16 on Hopper's tensor cores: for each leaf of a tree (the rows of a grain, or a part of
// them) one chain of products over its rows, 16 at a time, from +0; the leaves added along the tree in registers, so
// that partial gradients, many times what is multiplied, never exist. Operands lie in a ring of stages in shared
// memory, where copies that do not wait put rows of one leaf each, filled up with zeros.
#pragma once
#include <cuda_bf16.h>

#include "tensor/check_cuda.hpp"
#include "tensor/mma_cuda.hpp"
#include "tensor/products/hopper_cuda.hpp"
#include "tensor/types.hpp"

namespace switchyard::products::leaf_sums {

/// A block's tile: `down` warpgroups of 64 rows each by `across` of `wide` (64 or 128) columns; `depth` rows of a leaf
/// in one of `stages`; registers for `blocks` of a multiprocessor.
template <int down_, int across_, int wide_, int depth_, int stages_, int blocks_ = 1>
struct Shape {
  static constexpr int down = down_, across = across_, wide = wide_, depth = depth_, stages = stages_, blocks = blocks_;
  static constexpr int rows = 64 * down, columns = wide * across, groups = down * across, threads = 128 * groups;
  static constexpr int each = wide / 2;               ///< sums of a thread
  static constexpr int panels = down + columns / 64;  ///< operands of 64 columns: those of dY, then those of X
  static constexpr int line = 128;                    ///< bytes of a row of a panel
  static constexpr int panel_bytes = depth * line, stage_bytes = panels * panel_bytes;
  static constexpr int shared_bytes = stages * stage_bytes + 1024;  ///< panels begin at multiples of 1024
};

/// Operands from the first row of a network and the first column of a tile on; columns that are left.
struct Operands {
  const __nv_bfloat16 *dy, *x;
  Index dy_stride, x_stride;
  int dy_columns, x_columns;
};

/// Rows of one leaf that stand in a stage together, of leaves that say their number, and of each the first row and how
/// many there are.
template <int depth, class Leaves>
class Slab {
 public:
  __device__ explicit Slab(const Leaves& leaves) : leaves_(leaves) { settle(); }
  __device__ bool there() const { return leaf_ < leaves_.size; }
  __device__ Index first() const { return leaves_.begin(leaf_) + done_; }
  __device__ int rows() const { return min(depth, leaves_.rows(leaf_) - done_); }
  __device__ void advance() {
    done_ += depth;
    settle();
  }

 private:
  __device__ void settle() {
    while (leaf_ < leaves_.size && done_ >= leaves_.rows(leaf_)) ++leaf_, done_ = 0;
  }
  const Leaves& leaves_;
  int leaf_ = 0, done_ = 0;
};

/// Rows [first, first + rows) into the stage at `to`: each warpgroup its panels, 16 bytes a thread. The rest of the
/// stage and columns past the matrix become zeros.
template <class S>
__device__ __forceinline__ void copy_rows(const Operands& o, std::uint32_t to, Index first, int rows) {
  const int piece = threadIdx.x % 8, line = threadIdx.x % 128 / 8;
#pragma unroll
  for (int p = 0; p < S::panels; p += S::groups) {
    const int panel = p + threadIdx.x / 128;
    if (panel >= S::panels) break;
    const bool of_dy = panel < S::down;
    const int column = 64 * (of_dy ? panel : panel - S::down) + 8 * piece;
    const bool inside = column < (of_dy ? o.dy_columns : o.x_columns);
    const Index stride = of_dy ? o.dy_stride : o.x_stride;
    const __nv_bfloat16* from = (of_dy ? o.dy : o.x) + (first + line) * stride + column;
    const std::uint32_t at = to + panel * S::panel_bytes + line * S::line + ((piece ^ (line % 8)) << 4);
#pragma unroll
    for (int i = 0; i < S::depth; i += 16) {
      const bool valid = inside && i + line < rows;
      hopper::copy_16(at + i * S::line, valid ? from + i * stride : o.dy, valid ? 16 : 0);
    }
  }
}

/// The rows of the slab, if there is one, become a batch of copies; then the next.
template <class S, class Leaves>
__device__ __forceinline__ void copy_slab(const Operands& o, std::uint32_t to, Slab<S::depth, Leaves>& slab) {
  if (slab.there()) {
    copy_rows<S>(o, to, slab.first(), slab.rows());
    slab.advance();
  }
  close_batch();
}

/// Begins sums += the products of the rows in the stage at `from`. By a warpgroup, its own part of the tile.
template <class S>
__device__ __forceinline__ void begin_products(float (&sums)[S::each], std::uint32_t from) {
  constexpr int step = 16 * S::line / 16;  // in the descriptors' unit of 16 bytes
  const int group = threadIdx.x / 128;
  const std::uint32_t dy = from + group % S::down * S::panel_bytes;
  const std::uint32_t x = from + (S::down + group / S::down * (S::wide / 64)) * S::panel_bytes;
  const std::uint64_t a = hopper::descriptor(dy, S::panel_bytes, 1024);
  const std::uint64_t b = hopper::descriptor(x, S::panel_bytes, 1024);
  hopper::products_begin();
#pragma unroll
  for (int k = 0; k < S::depth / 16; ++k) hopper::multiply<1, 1>(sums, a + k * step, b + k * step, 1);
  hopper::products_commit();
}

/// A leaf is done: added to the finished left halves that wait for it, or waits itself. All indices are constants, or
/// registers would not do.
template <int level = 0, int levels, int n>
__device__ __forceinline__ void finish(int leaf, float (&waiting)[levels][n], float (&sums)[n]) {
  if constexpr (level < levels) {
    const bool right = leaf >> level & 1;
#pragma unroll
    for (int i = 0; i < n; ++i) {
      if (right)
        sums[i] = waiting[level][i] + sums[i];
      else
        waiting[level][i] = sums[i];
    }
    if (right) finish<level + 1>(leaf, waiting, sums);
  }
}

/// sums = the tree sum over the leaves, at most 2^levels of them, of this warpgroup's part of a tile; `ring` are the
/// stages. A leaf without rows is +0 and is added like any other. Products of two stages are in flight, so that copies
/// go where those of the stage before the last were read: whoever is past a barrier has awaited them.
/// Longer than 25 lines: products in flight may not leave the loop that issues them.
template <class S, int levels, class Leaves>
__device__ __forceinline__ void sum(float (&sums)[S::each], const Operands& operands, const Leaves& leaves,
                                    std::uint32_t ring) {
  static_assert(S::stages > 2);
  float waiting[levels > 0 ? levels : 1][S::each];
  Slab<S::depth, Leaves> ahead(leaves);
  for (int s = 0; s < S::stages - 2; ++s) copy_slab<S>(operands, ring + s * S::stage_bytes, ahead);
  std::uint32_t stage = 0, free = S::stages - 2;
  for (int leaf = 0; leaf < leaves.size; ++leaf) {
#pragma unroll
    for (int i = 0; i < S::each; ++i) sums[i] = 0.0f;
    hopper::hold(sums);
    for (int left = leaves.rows(leaf); left > 0; left -= S::depth) {
      await_batches<S::stages - 3>();
      hopper::fence_proxy();
      __syncthreads();
      begin_products<S>(sums, ring + stage * S::stage_bytes);
      copy_slab<S>(operands, ring + free * S::stage_bytes, ahead);
      hopper::products_wait<1>();
      stage = stage + 1 == S::stages ? 0 : stage + 1, free = free + 1 == S::stages ? 0 : free + 1;
    }
    hopper::products_wait<0>();
    hopper::hold(sums);
    if constexpr (levels > 0) finish(leaf, waiting, sums);
  }
}

/// A matrix (rows, columns) of floats from a tile's first element on; `vector`: where 16 bytes may be written at once.
/// +0 is added to what is written: whether a chain that rounds to −0 keeps its sign is a matter of how many zeros fill
/// its last stage, thus of the shape.
struct Target {
  float* to;
  Index stride;
  int rows, columns;  ///< that are left
  bool vector;
  __device__ void write(int row, int column, const float4& sum) const {
    if (row >= rows || column >= columns) return;
    const float4 v{sum.x + 0.0f, sum.y + 0.0f, sum.z + 0.0f, sum.w + 0.0f};
    float* at = to + row * stride + column;
    if (vector) return __stcs(reinterpret_cast<float4*>(at), v);  // past the caches: nothing here reads it again
    at[0] = v.x, at[1] = v.y, at[2] = v.z, at[3] = v.w;
  }
};

/// f(row, column, four neighbours) for all sums of a warpgroup, places in the block's tile: two lanes that hold two and
/// two of eight columns, twice, trade, so that each has four neighbours.
template <class S, class F>
__device__ __forceinline__ void for_fours(const float (&sums)[S::each], const F& f) {
  const int group = threadIdx.x / 128, lane = threadIdx.x % 32, odd = lane % 2;
  const int row = group % S::down * 64 + threadIdx.x % 128 / 32 * 16 + lane / 4;
  const int column = group / S::down * S::wide + 8 * odd + 4 * (lane % 4 / 2);
#pragma unroll
  for (int j = 0; j < S::each; j += 8)
#pragma unroll
    for (int half = 0; half < 4; half += 2) {
      const float *first = sums + j + half, *second = first + 4;
      const float x = __shfl_xor_sync(0xFFFFFFFFu, odd ? first[0] : second[0], 1);
      const float y = __shfl_xor_sync(0xFFFFFFFFu, odd ? first[1] : second[1], 1);
      f(row + 4 * half, column + 2 * j, odd ? float4{x, y, second[0], second[1]} : float4{first[0], first[1], x, y});
    }
}

/// A kernel whose blocks need so much shared memory; once a kernel.
inline void allow_shared(const void* kernel, int bytes) {
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "cudaFuncSetAttribute");
}

}  // namespace switchyard::products::leaf_sums
