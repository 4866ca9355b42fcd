// Weight gradients of bf16 where a grain has few rows of a network, so that a GPU waits for what comes before the
// products more than for these: where rows begin is read once, the rows of all grains are on their way at once, and the
// grains of a tile are shared among groups of a thread block, which go their own ways until their sums meet. The bits
// are those of tree_tile_cuda.cpp: one chain a grain, then the tree.
#pragma once
#include "tensor/launch_cuda.hpp"
#include "tensor/mma_cuda.hpp"
#include "tensor/products/grouped_cuda.hpp"

namespace switchyard::products::few {

constexpr int warp_threads = 32;
constexpr int warp_rows = 16;  // of dW, that a warp sums
constexpr unsigned depth = 8;  // rows of a stage

/// What a thread block does: `groups` of `warps`, each one above another, which sum `leaves` grains each of a tile
/// (16·warps, 32·wide) of dW, 4 x 4·wide elements a thread; of the rows of a group `ahead` stages are on their way at
/// once. Registers for `blocks` blocks a multiprocessor.
template <int groups_, int warps_, int leaves_, int wide_, int ahead_, int blocks_>
struct Shape {
  static constexpr int groups = groups_, warps = warps_, leaves = leaves_, wide = wide_, ahead = ahead_;
  static constexpr int rows = warp_rows * warps, columns = 32 * wide, threads = warp_threads * warps;  // of a group
  static constexpr int block_threads = groups * threads, blocks = blocks_;
  static constexpr int row_chunks = (rows + columns) / 8, chunks = depth * row_chunks;
  static constexpr int line = 2 * row_chunks;  // of a row as floats, by fours
  static constexpr int mine = 4 / groups;      // rows of dW of a thread's four that its group writes
  static_assert(4 % groups == 0, "each group writes as many rows");
};

/// A group's rows: `raw` as they come, a place belongs to the thread that copies; as floats dY and beside it X in
/// `line`.
template <class S>
struct GroupRoom {
  uint4 raw[S::ahead][S::chunks];
  float4 line[2 * depth * S::line];  ///< row r in place r mod 16
  Index shift[S::leaves];            ///< of leaf l: row r of the group's is row shift + r of the operands
  unsigned before[S::leaves + 1];    ///< rows of the group before leaf l
};
template <class S>
struct Room {
  union {
    GroupRoom<S> group[S::groups];
    float4 sums[S::groups][4][S::wide][S::threads];
  };
};

/// One thread's sums: rows 4·y … of its group's, columns 32·j + 4·x …. Lanes that differ in bit 0 or 1 read the same
/// four of one operand, which shared memory then serves by half-warps.
template <class S>
struct Sums {
  float4 at[4][S::wide];
  static __device__ int x() { return threadIdx.x / 2 % 8; }
  static __device__ int y() {
    const int lane = threadIdx.x % warp_threads;
    return threadIdx.x % S::threads / warp_threads * 4 + lane / 16 * 2 + lane % 2;
  }
};

/// The rows of a group's leaves, a stage of `depth` after another.
template <class S>
class Rows {
 public:
  __device__ Rows(const Grouped& p, GroupRoom<S>& room, int row, int column)
      : p_(p), room_(room), row_(row), column_(column), thread_(threadIdx.x % S::threads) {}

  /// Of leaves from `first` on: finds their rows and lets the first stages come.
  __device__ void begin(Index first) {
    find(first);
    meet();
#pragma unroll
    for (unsigned stage = 0; stage < S::ahead; ++stage) fetch(stage);
  }
  __device__ unsigned before(int leaf) const { return room_.before[leaf]; }
  /// Makes the stage that begins with `row` the one that is read; others may still read the one before.
  __device__ void turn(unsigned row) {
    const unsigned stage = row / depth;
    await_batches<S::ahead - 1>();
#pragma unroll
    for (int c = thread_; c < S::chunks; c += S::threads) unpack(room_.raw[stage % S::ahead][c], row, c);
    fetch(stage + S::ahead);
    meet();
  }
  __device__ const float4* line(unsigned row) const { return room_.line + row % (2 * depth) * S::line; }

 private:
  static constexpr int left_chunks = S::rows / 8;
  __device__ void meet() const {
    if constexpr (S::warps == 1)
      __syncwarp();
    else
      asm volatile("bar.sync %0, %1;" ::"r"(1 + threadIdx.x / S::threads), "n"(S::threads) : "memory");
  }
  __device__ void find(Index first) {
    if (thread_ > S::leaves) return;
    Index before = 0, begin = 0;
#pragma unroll
    for (int l = 0; l < S::leaves; ++l) {
      const Index from = p_.segments.begin(first + l);
      if (l < thread_) before += p_.segments.end(first + l) - from;
      if (l == thread_) begin = from;
    }
    room_.before[thread_] = static_cast<unsigned>(before);
    if (thread_ < S::leaves) room_.shift[thread_] = begin - before;
  }
  /// Lets a stage come, or what there is of it.
  __device__ void fetch(unsigned stage) {
#pragma unroll
    for (int c = thread_; c < S::chunks; c += S::threads) {
      const unsigned row = stage * depth + c / S::row_chunks;
      const int chunk = c % S::row_chunks;
      const bool of_left = chunk < left_chunks;
      const int at = of_left ? row_ + 8 * chunk : column_ + 8 * (chunk - left_chunks);
      if (row >= room_.before[S::leaves] || at >= (of_left ? p_.m : p_.n)) continue;
      int leaf = 0;
#pragma unroll
      for (int l = 1; l < S::leaves; ++l) leaf += row >= room_.before[l];
      const Index line = (room_.shift[leaf] + row) * (of_left ? p_.a.stride : p_.b.stride);
      copy_async(&room_.raw[stage % S::ahead][c], (of_left ? p_.a.data : p_.b.data) + 2 * (line + at), true);
    }
    close_batch();
  }
  /// Half of the lanes write their second four first: no two that write at once are in one bank.
  __device__ void unpack(const uint4 halves, unsigned row, int c) {
    const int turned = c / 4 % 2;
    float4* to = room_.line + row % (2 * depth) * S::line + 2 * c;
    const uint2 low{halves.x, halves.y}, high{halves.z, halves.w}, now = turned ? high : low,
                                                                   then = turned ? low : high;
    to[turned] = {low_bf16(now.x), high_bf16(now.x), low_bf16(now.y), high_bf16(now.y)};
    to[1 - turned] = {low_bf16(then.x), high_bf16(then.x), low_bf16(then.y), high_bf16(then.y)};
  }

  const Grouped& p_;
  GroupRoom<S>& room_;
  int row_, column_, thread_;
};

__device__ inline void multiply_add(float left, const float4& right, float4& sums) {
  sums = {__fmaf_rn(left, right.x, sums.x), __fmaf_rn(left, right.y, sums.y), __fmaf_rn(left, right.z, sums.z),
          __fmaf_rn(left, right.w, sums.w)};
}
__device__ inline float4 add(const float4& a, const float4& b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

/// sums += dY(row, ·)ᵀ X(row, ·).
template <class S>
__device__ void multiply_add(const float4* line, Sums<S>& sums) {
  const float4 left = line[Sums<S>::y()];
#pragma unroll
  for (int j = 0; j < S::wide; ++j) {
    const float4 right = line[S::rows / 4 + 8 * j + Sums<S>::x()];
    multiply_add(left.x, right, sums.at[0][j]);
    multiply_add(left.y, right, sums.at[1][j]);
    multiply_add(left.z, right, sums.at[2][j]);
    multiply_add(left.w, right, sums.at[3][j]);
  }
}

/// The chain of a leaf; +0 without rows.
template <class S>
__device__ Sums<S> chain(Rows<S>& rows, int leaf) {
  Sums<S> sums{};
  unsigned row = rows.before(leaf);
  const unsigned end = rows.before(leaf + 1);
  while (row < end) {
    if (row % depth == 0) rows.turn(row);
    const float4* line = rows.line(row);
    const unsigned last = min(end, (row / depth + 1) * depth);
#pragma unroll 2
    for (; row < last; ++row, line += S::line) multiply_add(line, sums);
  }
  return sums;
}

/// The tree over leaves [first, first + size) of a group. Unrolled as a whole, since sums must be in registers.
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

/// The tree over the groups: each gives the others the rows that are theirs. a + b and b + a have the same bits.
template <class S>
__device__ void meet(Room<S>& room, Sums<S>& sums) {
  const int group = threadIdx.x / S::threads, thread = threadIdx.x % S::threads;
  __syncthreads();  // the rows in `room` are done with
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (i / S::mine != group)
      for (int j = 0; j < S::wide; ++j) room.sums[group][i][j][thread] = sums.at[i][j];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (i / S::mine == group)
#pragma unroll
      for (int j = 0; j < S::wide; ++j) {
        const auto of = [&](int other) { return room.sums[group ^ other][i][j][thread]; };
        float4& own = sums.at[i][j];
        own = add(own, of(1));
        if constexpr (S::groups == 4) own = add(own, add(of(2), of(3)));
      }
}

template <class S>
__device__ void write(const Sums<S>& sums, float* to, const Grouped& p, int row, int column) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < S::wide; ++j) {
      const int r = row + 4 * Sums<S>::y() + i, c = column + 32 * j + 4 * Sums<S>::x();
      if (i / S::mine != threadIdx.x / S::threads || r >= p.m || c >= p.n) continue;
      __stcs(reinterpret_cast<float4*>(to + Index{r} * p.n + c), sums.at[i][j]);
    }
}

/// A tile of dW of network blockIdx.z: rows from S::rows·blockIdx.y, columns from S::columns·blockIdx.x.
template <class S>
__global__ void __launch_bounds__(S::block_threads, S::blocks) sum_few(const Grouped p, const NodeOfNetworks node) {
  __shared__ Room<S> room;
  const int group = threadIdx.x / S::threads;
  const int row = static_cast<int>(blockIdx.y) * S::rows, column = static_cast<int>(blockIdx.x) * S::columns;
  Rows<S> rows(p, room.group[group], row, column);
  gpu::await_before();
  gpu::let_next_come();
  rows.begin(node.segment + blockIdx.z * node.segments + group * S::leaves);
  Sums<S> sums = sum_of<S::leaves>(rows);
  if constexpr (S::groups > 1) meet(room, sums);
  write(sums, node.to + blockIdx.z * node.next, p, row, column);
}

template <class S>
void launch(cudaStream_t stream, const Grouped& p, const NodeOfNetworks& node, int networks) {
  const dim3 blocks(static_cast<unsigned>((p.n + S::columns - 1) / S::columns),
                    static_cast<unsigned>((p.m + S::rows - 1) / S::rows), static_cast<unsigned>(networks));
  gpu::launch(sum_few<S>, blocks, S::block_threads, 0, stream, p, node);
}

}  // namespace switchyard::products::few
