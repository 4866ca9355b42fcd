// Which tile of which expert a block computes: found on the device, since only the device knows the loads.
#pragma once
#include <cstdint>

#include "tensor/products/experts_cuda.hpp"
#include "tensor/products/hopper_cuda.hpp"

namespace switchyard::products::experts {

constexpr int max_experts = max_count;
constexpr int threads = 384;  // one warpgroup that copies, two that multiply
constexpr int depth_step = 64;
constexpr int line = 128;  // bytes of a row of an operand tile in shared memory: depth_step elements

/// One product's tile: `height` 64-row blocks and `columns` columns for a warpgroup. Together: the two warpgroups take
/// one block of rows each of the same tile; otherwise they take tiles in turn, so that the products of one hide the
/// epilogue of the other. A cluster of two blocks takes tiles one below the other and shares the weights' columns, half
/// of which each block copies for both.
template <int height_, int columns_, bool together_, int stages_, int cluster_ = 1>
struct Shape {
  static constexpr int height = height_, columns = columns_, stages = stages_, cluster = cluster_;
  static constexpr bool together = together_;
  static constexpr int rows = together ? 128 : 64 * height;
  static constexpr int a_bytes = rows * line, b_bytes = columns * line, stage_bytes = a_bytes + b_bytes;
  static constexpr int barrier_bytes = 16 * stages + 16;
  /// Tiles, 1 KB to align them, barriers, and the schedule's tables.
  static constexpr int shared_bytes = stages * stage_bytes + 1024 + barrier_bytes + 4 * (3 * max_experts + 1);
  static_assert((!together || height == 1) && (cluster == 1 || cluster == 2));
  static_assert(stages >= 4 && shared_bytes <= 227 * 1024);
};

using Tall = Shape<1, 256, true, 4>;
using Flat = Shape<1, 256, false, 5>;
using Square = Shape<2, 128, false, 6>;
using Small = Shape<1, 128, false, 8>;
using Tiny = Shape<1, 64, false, 10>;
using TallPair = Shape<1, 256, true, 4, 2>;
using FlatPair = Shape<1, 256, false, 5, 2>;

/// Rows [row, row + rows) of an expert, counted over all experts, of which a tile holds at most Shape::rows; its matrix
/// of those that the rows are multiplied by, and its first column there.
struct Tile {
  int expert, row, rows, matrix, column;
};

constexpr int no_tile = 1 << 30;

/// Tiles across the columns of all matrices: those of matrix 1 begin at second, of matrix 2 at third; no_tile where
/// there is no such matrix.
struct Across {
  int tiles, second, third;
  __device__ int matrix(int tile) const { return (tile >= second) + (tile >= third); }
  __device__ int begin(int matrix) const { return matrix == 0 ? 0 : matrix == 1 ? second : third; }
};

/// The rows of the experts: Call::first, last and most.
struct Loads {
  const std::int64_t *first, *last;
  std::int64_t most;
  __device__ int begin(int e) const { return static_cast<int>(first ? first[e] : e * most); }
  __device__ int end(int e) const { return static_cast<int>(first ? last[e] : (e + 1) * most); }
};

/// Tables in shared memory: tiles before expert e, entry `experts` that of all; its first row, and the end of its rows.
struct Schedule {
  int *before, *first, *last;
  int experts;
  Across across;
  __device__ int tiles() const { return before[experts]; }
};

/// Fills the tables. By all threads of the block; ends with a barrier.
__device__ inline void make_schedule(const Schedule& s, const Loads& loads, int tile_rows) {
  constexpr int each = (max_experts + threads - 1) / threads;
  __shared__ int sums[threads / 32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, begin = threadIdx.x * each;
  int tiles[each], own = 0;
#pragma unroll
  for (int i = 0; i < each; ++i) {
    const int e = begin + i;
    const int from = e < s.experts ? loads.begin(e) : 0, to = e < s.experts ? loads.end(e) : 0;
    tiles[i] = (to - from + tile_rows - 1) / tile_rows * s.across.tiles;
    own += tiles[i];
    if (e < s.experts) s.first[e] = from, s.last[e] = to;
  }
  int sum = own;
  for (int d = 1; d < 32; d *= 2) {
    const int left = __shfl_up_sync(~0u, sum, d);
    if (lane >= d) sum += left;
  }
  if (lane == 31) sums[warp] = sum;
  __syncthreads();
  int before = sum - own;
  for (int w = 0; w < warp; ++w) before += sums[w];
#pragma unroll
  for (int i = 0; i < each; ++i) {
    if (begin + i <= s.experts) s.before[begin + i] = before;
    before += tiles[i];
  }
  __syncthreads();
}

/// Place of the block's cluster among the clusters, and their number: tiles are dealt to clusters.
template <class Shape>
__device__ inline int cluster_index() {
  return blockIdx.x / Shape::cluster;
}
template <class Shape>
__device__ inline int clusters() {
  return gridDim.x / Shape::cluster;
}

/// The block's part of tile t, which is below s.tiles(): its rows may be none, or fewer. By a whole warp, for ascending
/// t; `expert` is where the last search ended. Tiles run down bands of 2048 rows, then across, so that a wave of blocks
/// shares its rows and few columns.
template <class Shape>
__device__ inline Tile find_tile(const Schedule& s, int t, int& expert) {
  for (;; expert += 32) {
    const int next = expert + 1 + static_cast<int>(threadIdx.x % 32);
    const unsigned beyond = __ballot_sync(~0u, next >= s.experts || s.before[next] > t);
    if (beyond == 0) continue;
    expert += __ffs(static_cast<int>(beyond)) - 1;
    break;
  }
  constexpr int both = Shape::rows * Shape::cluster, band = 2048 / both;
  const int from = s.before[expert], local = t - from, across = s.across.tiles;
  const int down = (s.before[expert + 1] - from) / across;
  const int before_band = local / (band * across) * band, in_band = local - before_band * across;
  const int high = min(band, down - before_band);
  int row = s.first[expert] + (before_band + in_band % high) * both;
  if constexpr (Shape::cluster > 1) row += hopper::cluster_rank() * Shape::rows;
  const int place = in_band / high, matrix = s.across.matrix(place);
  return {expert, row, s.last[expert] - row, matrix, (place - s.across.begin(matrix)) * Shape::columns};
}

}  // namespace switchyard::products::experts
