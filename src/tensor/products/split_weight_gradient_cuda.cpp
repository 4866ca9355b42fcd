// Weight gradients of rows of bf16 and gradients of floats: a block sums a slice of the rows of a piece for a tile of
// dW, its warps in strands of rows; the last block of a tile adds the slices of a piece in order, and the pieces along
// their tree. Lanes name rows and columns in an order of their own, in which what each reads lies together.
#include "base/check.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/products/split_cuda.hpp"

namespace switchyard::products::split {
namespace {

constexpr int warps = 8, threads = 32 * warps;
constexpr int tile_m = 32, tile_n = 64;          // of a warp
constexpr int warp_items = tile_m * tile_n / 4;  // float4
constexpr std::int64_t narrow = 512;             // columns of dW up to which warps share none of them
constexpr std::int64_t few_rows = 256, some_rows = 512, many_rows = 1024;  // of a slice
constexpr int at_once = 8, levels = 10;
static_assert(most_pieces == 1 << levels);

struct Node {
  int first, size;
};

/// What a launch reads and writes. Slices are blockIdx.x, tiles blockIdx.y and z.
struct Launch {
  WeightGradient of;
  std::int64_t slice_rows;
  int slices;         ///< of a piece
  int tall, across;   ///< warps along m and n; the others are strands
  float4* partials;   ///< (tiles, slices of all pieces, items of a block)
  unsigned* arrived;  ///< (tiles) blocks that are through
  int node_count;
  Node node[most_nodes];

  __device__ int items() const { return tall * across * warp_items; }
  __device__ int strands() const { return warps / (tall * across); }
  __device__ int tile() const { return static_cast<int>(blockIdx.z * gridDim.y + blockIdx.y); }
  __device__ int first_m() const { return static_cast<int>(blockIdx.z) * tall * tile_m; }
  __device__ int first_n() const { return static_cast<int>(blockIdx.y) * across * tile_n; }
};

/// 16-row tile i of m, 8-column tile j of n: rows l/4 and l/4 + 8 are m 4·(l/4) + 2·i and the next, column c is n
/// 8·c + j.
struct Sums {
  float at[2][8][4];
};

/// Pairs of rows of x beside each other in the depth, of columns 8·(l/4) + j.
__device__ inline void pair_rows(const uint4& even, const uint4& odd, std::uint32_t (&b)[8]) {
  const std::uint32_t e[4] = {even.x, even.y, even.z, even.w}, o[4] = {odd.x, odd.y, odd.z, odd.w};
#pragma unroll
  for (int j = 0; j < 8; ++j) b[j] = __byte_perm(e[j / 2], o[j / 2], j % 2 ? 0x7632 : 0x5410);
}

/// sums += of 16 rows, four of them a lane's.
__device__ inline void add_sixteen(const float (&g)[4][4], const uint4 (&x)[4], Sums& sums) {
  std::uint32_t first[8], second[8];
  pair_rows(x[0], x[1], first), pair_rows(x[2], x[3], second);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    std::uint32_t high[4], middle[4], low[4];
#pragma unroll
    for (int part = 0; part < 4; ++part) {  // m of this row or the next, first or second pair
      const int m = 2 * i + part % 2, row = part / 2 * 2;
      const Thirds t = thirds(g[row][m], g[row + 1][m]);
      high[part] = t.high, middle[part] = t.middle, low[part] = t.low;
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) multiply_add(sums.at[i][j], high, first[j], second[j]);
#pragma unroll
    for (int j = 0; j < 8; ++j) multiply_add(sums.at[i][j], middle, first[j], second[j]);
#pragma unroll
    for (int j = 0; j < 8; ++j) multiply_add(sums.at[i][j], low, first[j], second[j]);
  }
}

/// Of rows [begin, end), every `strands`-th 16 of them from number `strand` on; m and n are the first of the lane.
__device__ void add_rows(const WeightGradient& p, std::int64_t begin, std::int64_t end, int strand, int strands, int m,
                         int n, Sums& sums) {
  const int quad = static_cast<int>(threadIdx.x) % 4, valid = p.m - m;
  const bool vectors = in_fours(p.g, p.g_stride);
  for (std::int64_t row = begin + 16 * strand; row < end; row += 16 * strands) {
    const std::int64_t mine = row + 4 * quad;
    float g[4][4];
    uint4 x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool there = mine + i < end;
      x[i] = there && n < p.n ? *reinterpret_cast<const uint4*>(p.x + (mine + i) * p.x_stride + n)
                              : make_uint4(0, 0, 0, 0);
      const float4 v = four(p.g + (mine + i) * p.g_stride + m, vectors, there ? valid : 0);
      g[i][0] = v.x, g[i][1] = v.y, g[i][2] = v.z, g[i][3] = v.w;
    }
    add_sixteen(g, x, sums);
  }
}

/// Where item `i` of a warp's tile lies in dW: four neighbours in n.
__device__ inline int item_m(int i) { return 4 * (i % 32 / 4) + i / 128; }
__device__ inline int item_n(int i) { return 8 * (2 * (i % 4) + i / 64 % 2) + 4 * (i / 32 % 2); }

/// The sums of a warp as items, lane by lane.
__device__ inline void put(const Sums& sums, float4* items) {
#pragma unroll
  for (int of_lane = 0; of_lane < 16; ++of_lane) {
    const int i = of_lane / 8, c = of_lane / 2 % 4, j = of_lane % 2 * 4;
    items[of_lane * 32 + threadIdx.x % 32] =
        make_float4(sums.at[i][j][c], sums.at[i][j + 1][c], sums.at[i][j + 2][c], sums.at[i][j + 3][c]);
  }
}

__device__ inline float4 add(const float4& a, const float4& b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

/// Calls f(item, its number of dW) for the items of the block that are of dW.
template <class F>
__device__ void for_items(const Launch& a, const F& f) {
  for (int i = static_cast<int>(threadIdx.x); i < a.items(); i += threads) {
    const int of_warp = i / warp_items, m = a.first_m() + of_warp % a.tall * tile_m + item_m(i % warp_items),
              n = a.first_n() + of_warp / a.tall * tile_n + item_n(i % warp_items);
    if (m < a.of.m && n < a.of.n) f(i, std::int64_t{m} * a.of.n + n);
  }
}

/// A leaf is done: added to the finished left halves that wait for it, or waits itself.
template <int level = 0>
__device__ void finish(int leaf, float4 (&waiting)[levels], float4& sum) {
  if constexpr (level < levels) {
    if (leaf >> level & 1) {
      sum = add(waiting[level], sum);
      finish<level + 1>(leaf, waiting, sum);
    } else {
      waiting[level] = sum;
    }
  }
}

/// An item of the pieces of a node: slices of a piece in order, pieces along the tree.
__device__ float4 sum_node(const Launch& a, const Node& node, const float4* at) {
  float4 waiting[levels], sum{};
  const int all = node.size * a.slices;
  at += std::int64_t{node.first} * a.slices * a.items();
  for (int first = 0, leaf = 0, slice = 0; first < all; first += at_once) {
    float4 v[at_once];
#pragma unroll
    for (int u = 0; u < at_once; ++u)
      v[u] = first + u < all ? __ldcg(at + std::int64_t{first + u} * a.items()) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int u = 0; u < at_once; ++u) {
      if (first + u >= all) break;
      sum = slice == 0 ? v[u] : add(sum, v[u]);
      if (++slice < a.slices) continue;
      finish(leaf++, waiting, sum), slice = 0;
    }
  }
  return sum;
}

/// Whether this block is the last of its tile, so that all slices are there.
__device__ bool is_last(const Launch& a) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned* arrived = a.arrived + a.tile();
    last = atomicAdd(arrived, 1) == gridDim.x - 1;
    if (last) *arrived = 0;
    __threadfence();
  }
  __syncthreads();
  return last;
}

__global__ void __launch_bounds__(threads, 2) sum_slices(const __grid_constant__ Launch a) {
  extern __shared__ float4 shared[];
  const int warp = static_cast<int>(threadIdx.x) / 32, group = static_cast<int>(threadIdx.x) % 32 / 4;
  const int tiles = a.tall * a.across, tile = warp % tiles;
  const int m = a.first_m() + tile % a.tall * tile_m + 4 * group, n = a.first_n() + tile / a.tall * tile_n + 8 * group;
  const int piece = static_cast<int>(blockIdx.x) / a.slices, slice = static_cast<int>(blockIdx.x) % a.slices;
  const std::int64_t begin = piece * a.of.piece_rows + slice * a.slice_rows;
  const std::int64_t end = min(begin + a.slice_rows, (piece + 1) * a.of.piece_rows);
  gpu::await_before();
  gpu::let_next_come();
  Sums sums{};
  add_rows(a.of, begin, end, warp / tiles, a.strands(), m, n, sums);
  put(sums, shared + warp * warp_items);
  __syncthreads();
  float4* partials = a.partials + std::int64_t{a.tile()} * gridDim.x * a.items();
  for_items(a, [&](int i, std::int64_t) {
    float4 sum = shared[i];
    for (int s = 1; s < a.strands(); ++s) sum = add(sum, shared[s * a.items() + i]);
    __stcg(partials + std::int64_t{blockIdx.x} * a.items() + i, sum);
  });
  if (!is_last(a)) return;
  for (int t = 0; t < a.node_count; ++t)
    for_items(a, [&](int i, std::int64_t at) {
      *reinterpret_cast<float4*>(a.of.dw + t * a.of.node + at) = sum_node(a, a.node[t], partials + i);
    });
}

int along(std::int64_t size, std::int64_t tile) { return static_cast<int>((size + tile - 1) / tile); }

Launch launch_of(const WeightGradient& p, std::int64_t rows) {
  Launch a{};
  a.of = p;
  a.slices = along(p.piece_rows, rows);
  a.slice_rows = along(along(p.piece_rows, a.slices), 16) * 16;
  a.tall = p.m <= tile_m ? 1 : 2;
  a.across = p.n <= narrow ? 1 : 2;
  return a;
}

dim3 blocks_of(const Launch& a) {
  return {static_cast<unsigned>(a.slices * a.of.pieces), static_cast<unsigned>(along(a.of.n, a.across * tile_n)),
          static_cast<unsigned>(along(a.of.m, a.tall * tile_m))};
}

}  // namespace

std::int64_t slice_rows(const WeightGradient& p) { return p.n > narrow ? many_rows : p.m < 64 ? few_rows : some_rows; }

std::int64_t partial_bytes(const WeightGradient& p, std::int64_t rows) {
  const Launch a = launch_of(p, rows);
  const dim3 blocks = blocks_of(a);
  return std::int64_t{blocks.x} * blocks.y * blocks.z * a.tall * a.across * warp_items * sizeof(float4);
}

std::int64_t counters(const WeightGradient& p) {
  const dim3 blocks = blocks_of(launch_of(p, slice_rows(p)));
  return std::int64_t{blocks.y} * blocks.z;
}

void weight_gradient(cudaStream_t stream, const WeightGradient& p, const std::vector<TreeNode>& nodes,
                     std::int64_t rows, std::byte* partials, unsigned* zeros) {
  constexpr int bytes = warps * warp_items * sizeof(float4);
  static const cudaError_t allowed =
      cudaFuncSetAttribute(sum_slices, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  check_cuda(allowed, "cudaFuncSetAttribute");
  Launch a = launch_of(p, rows);
  a.partials = reinterpret_cast<float4*>(partials), a.arrived = zeros;
  for (const TreeNode& node : nodes) {
    a.node[a.node_count] = {a.node_count ? a.node[a.node_count - 1].first + a.node[a.node_count - 1].size : 0,
                            node.size};
    ++a.node_count;
  }
  gpu::launch(sum_slices, blocks_of(a), dim3(threads), bytes, stream, a);
}

}  // namespace switchyard::products::split
