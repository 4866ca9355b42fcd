// Weight gradients of bf16 where a grain has few rows of a network, so that a GPU waits for what comes before the
// products more than for these: a thread block makes some tiles of a network, where rows begin is read once, and the
// rows of the next tile are on their way while the sums of one are made and written. The bits are those of
// tree_tile_cuda.cpp: one chain a grain, then the tree.
#pragma once
#include "tensor/launch_cuda.hpp"
#include "tensor/mma_cuda.hpp"
#include "tensor/products/grouped_cuda.hpp"

namespace switchyard::products::few {

constexpr unsigned depth = 8;  // rows of a stage

/// A thread block of four warps makes tiles (64, 64) of dW, 4 x 8 elements a thread, of at most `leaves` grains;
/// `ahead` stages of rows are on their way at once. Registers for `blocks` blocks a multiprocessor.
template <int leaves_, int blocks_>
struct Shape {
  static constexpr int leaves = leaves_, blocks = blocks_, ahead = 4;
  static constexpr int rows = 64, columns = 64, threads = 128, wide = 2;
  static constexpr int row_chunks = (rows + columns) / 8, chunks = depth * row_chunks;
  static constexpr int line = 2 * row_chunks;  // of a row as floats, by fours
  static_assert(chunks == threads, "a chunk of a stage is a thread's");
};

/// The rows of a tile: `raw` as they come, a place belongs to the thread that copies; as floats dY and beside it X in
/// `line`.
template <class S>
struct Room {
  uint4 raw[S::ahead][S::chunks];
  float4 line[2 * depth * S::line];  ///< row r in place r mod 16
  Index shift[S::leaves];            ///< of leaf l: row r of the network's is row shift + r of the operands
  unsigned before[S::leaves + 1];    ///< rows of the network before leaf l
};

/// One thread's sums: rows 4·y …, columns 32·j + 4·x …. Lanes that differ in bit 0 or 1 read the same four of one
/// operand, which shared memory then serves by half-warps.
template <class S>
struct Sums {
  float4 at[4][S::wide];
  static __device__ int x() { return threadIdx.x / 2 % 8; }
  static __device__ int y() {
    const int lane = threadIdx.x % 32;
    return threadIdx.x / 32 * 4 + lane / 16 * 2 + lane % 2;
  }
};

/// The rows of a network's leaves, a stage of `depth` after another.
template <class S>
class Rows {
 public:
  __device__ Rows(const Grouped& p, Room<S>& room) : p_(p), room_(room) {}

  /// Finds the rows of the leaves from `first` on.
  __device__ void find(Index first) {
    if (threadIdx.x <= S::leaves) place_leaves(first);
    __syncthreads();
  }
  /// Lets the first stages of a tile come, after the last turn of the one before.
  __device__ void begin(int row, int column) {
    const int chunk = static_cast<int>(threadIdx.x) % S::row_chunks;
    of_left_ = chunk < left_chunks;
    at_ = of_left_ ? row + 8 * chunk : column + 8 * (chunk - left_chunks);
#pragma unroll
    for (unsigned stage = 0; stage < S::ahead; ++stage) fetch(stage);
  }
  __device__ unsigned before(int leaf) const { return room_.before[leaf]; }
  /// Makes the stage that begins with `row` the one that is read; others may still read the one before.
  __device__ void turn(unsigned row) {
    const unsigned stage = row / depth;
    await_batches<S::ahead - 1>();
    unpack(room_.raw[stage % S::ahead][threadIdx.x], row);
    fetch(stage + S::ahead);
    __syncthreads();
  }
  __device__ const float4* line(unsigned row) const { return room_.line + row % (2 * depth) * S::line; }

 private:
  static constexpr int left_chunks = S::rows / 8;
  __device__ void place_leaves(Index first) {
    const int own = static_cast<int>(threadIdx.x);
    Index before = 0, begin = 0;
#pragma unroll
    for (int l = 0; l < S::leaves; ++l) {
      const Index from = p_.segments.begin(first + l);
      if (l < own) before += p_.segments.end(first + l) - from;
      if (l == own) begin = from;
    }
    room_.before[own] = static_cast<unsigned>(before);
    if (own < S::leaves) room_.shift[own] = begin - before;
  }
  /// Lets a stage come, or what there is of it.
  __device__ void fetch(unsigned stage) {
    const unsigned row = stage * depth + threadIdx.x / S::row_chunks;
    if (row < room_.before[S::leaves] && at_ < (of_left_ ? p_.m : p_.n)) {
      int leaf = 0;
#pragma unroll
      for (int l = 1; l < S::leaves; ++l) leaf += row >= room_.before[l];
      const Index line = (room_.shift[leaf] + row) * (of_left_ ? p_.a.stride : p_.b.stride);
      copy_async(&room_.raw[stage % S::ahead][threadIdx.x], (of_left_ ? p_.a.data : p_.b.data) + 2 * (line + at_),
                 true);
    }
    close_batch();
  }
  /// Half of the lanes write their second four first: no two that write at once are in one bank.
  __device__ void unpack(const uint4 halves, unsigned row) {
    const int c = static_cast<int>(threadIdx.x), turned = c / 4 % 2;
    float4* to = room_.line + row % (2 * depth) * S::line + 2 * c;
    const uint2 low{halves.x, halves.y}, high{halves.z, halves.w}, now = turned ? high : low,
                                                                   then = turned ? low : high;
    to[turned] = {low_bf16(now.x), high_bf16(now.x), low_bf16(now.y), high_bf16(now.y)};
    to[1 - turned] = {low_bf16(then.x), high_bf16(then.x), low_bf16(then.y), high_bf16(then.y)};
  }

  const Grouped& p_;
  Room<S>& room_;
  bool of_left_ = false;
  int at_ = 0;  ///< first column of the thread's chunk
};

__device__ inline float4 add(const float4& a, const float4& b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }
__device__ inline float4 fused(float left, const float4& right, const float4& sum) {
  return {__fmaf_rn(left, right.x, sum.x), __fmaf_rn(left, right.y, sum.y), __fmaf_rn(left, right.z, sum.z),
          __fmaf_rn(left, right.w, sum.w)};
}

/// sums = or += dY(row, ·)ᵀ X(row, ·).
template <bool first, class S>
__device__ __forceinline__ void multiply(const float4* line, Sums<S>& sums) {
  const float4 left = line[Sums<S>::y()];
  const float of[4]{left.x, left.y, left.z, left.w};
#pragma unroll
  for (int j = 0; j < S::wide; ++j) {
    const float4 right = line[S::rows / 4 + 8 * j + Sums<S>::x()];
#pragma unroll
    for (int i = 0; i < 4; ++i) sums.at[i][j] = fused(of[i], right, first ? float4{} : sums.at[i][j]);
  }
}

/// The chain of a leaf, from +0 on.
template <class S>
__device__ __forceinline__ Sums<S> chain(Rows<S>& rows, int leaf) {
  unsigned row = rows.before(leaf);
  const unsigned end = rows.before(leaf + 1);
  if (row == end) return Sums<S>{};
  Sums<S> sums;
  if (row % depth == 0) rows.turn(row);
  multiply<true>(rows.line(row), sums);
  for (++row; row < end; ++row) {
    if (row % depth == 0) rows.turn(row);
    multiply<false>(rows.line(row), sums);
  }
  return sums;
}

/// The tree over leaves [first, first + size). Unrolled as a whole, since sums must be in registers.
template <int size, class S>
__device__ __forceinline__ Sums<S> sum_of(Rows<S>& rows, int first = 0) {
  if constexpr (size == 1) {
    return chain(rows, first);
  } else {
    const Sums<S> left = sum_of<size / 2>(rows, first);
    Sums<S> sums = sum_of<size / 2>(rows, first + size / 2);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < S::wide; ++j) sums.at[i][j] = add(left.at[i][j], sums.at[i][j]);
    return sums;
  }
}

/// How many tiles of `size` cover `length`.
__host__ __device__ inline int tiles_along(int length, int size) { return (length + size - 1) / size; }

template <class S>
__device__ void write(const Sums<S>& sums, float* to, const Grouped& p, int row, int column) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < S::wide; ++j) {
      const int r = row + 4 * Sums<S>::y() + i, c = column + 32 * j + 4 * Sums<S>::x();
      if (r < p.m && c < p.n) __stcs(reinterpret_cast<float4*>(to + Index{r} * p.n + c), sums.at[i][j]);
    }
}

/// Tiles of dW of network blockIdx.z, along the columns first: `each` of them from each·blockIdx.x on.
template <class S>
__global__ void __launch_bounds__(S::threads, S::blocks)
    sum_few(const __grid_constant__ Grouped p, const __grid_constant__ NodeOfNetworks node, int each) {
  __shared__ Room<S> room;
  const int across = tiles_along(p.n, S::columns);
  int tile = static_cast<int>(blockIdx.x) * each;
  const int end = min(tile + each, across * tiles_along(p.m, S::rows));
  Rows<S> rows(p, room);
  gpu::await_before();
  gpu::let_next_come();
  rows.find(node.segment + blockIdx.z * node.segments);
  rows.begin(tile / across * S::rows, tile % across * S::columns);
  for (; tile < end; ++tile) {
    const Sums<S> sums = sum_of<S::leaves>(rows);
    if (tile + 1 < end) rows.begin((tile + 1) / across * S::rows, (tile + 1) % across * S::columns);
    write(sums, node.to + blockIdx.z * node.next, p, tile / across * S::rows, tile % across * S::columns);
    __syncthreads();  // all have read the last rows, in whose place the first of the next tile come
  }
}

/// How many of `tiles` of each network a block makes: what it waits for once is shared, as long as every multiprocessor
/// has some blocks of its own to do (H200: of XS with 512 experts all eight tiles, with 256 four). Changes no bit.
inline int tiles_of_block(int tiles, int networks) {
  constexpr Index enough_blocks = 1024;
  int each = 1;
  while (2 * each <= tiles && each < 8 && Index{networks} * tiles >= 2 * each * enough_blocks) each *= 2;
  return each;
}

template <class S>
void launch(cudaStream_t stream, const Grouped& p, const NodeOfNetworks& node, int networks) {
  const int tiles = tiles_along(p.n, S::columns) * tiles_along(p.m, S::rows), each = tiles_of_block(tiles, networks);
  const dim3 blocks(static_cast<unsigned>(tiles_along(tiles, each)), 1, static_cast<unsigned>(networks));
  gpu::launch(sum_few<S>, blocks, S::threads, 0, stream, p, node, each);
}

}  // namespace switchyard::products::few
