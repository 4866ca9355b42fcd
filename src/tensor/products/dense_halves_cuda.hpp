// Weight gradients of bf16 whose grains have equal numbers of rows that the host knows, on Hopper: the rows of a grain
// in parts, the parts of a node over the blocks of a cluster, added along one tree of parts and grains in registers and
// then in the cluster's shared memory. One launch a node, without partial gradients in memory.
#pragma once
#include <algorithm>

#include "tensor/products/tree_halves_cuda.hpp"

namespace switchyard::products::leaf_sums {

/// Leaves one after another, of `count` rows each.
struct Parts {
  int size, count;
  Index first;
  __device__ Index begin(int leaf) const { return first + leaf * count; }
  __device__ int rows(int) const { return count; }
};

/// A node of parts of all networks: of network 0 they begin at row `first`, of the next ones `next_rows` further each.
struct PartsNode {
  Index first, next_rows;
  int parts, rows;  ///< of one part
  float* to;
  Index next;
  bool vector;
};

__device__ inline float4 add(const float4& a, const float4& b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

/// Tiles of `cluster` blocks added along the tree: each puts its own into its shared memory at `room` and writes its
/// share of the sum.
template <class S, int cluster>
__device__ __forceinline__ void add_blocks(const float (&sums)[S::each], std::byte* room, const Target& target) {
  constexpr int stride = S::columns + 16;  // two rows that a quarter of a warp writes at once are in other banks
  constexpr int fours = S::columns / 4;
  static_assert(S::rows * stride * static_cast<int>(sizeof(float)) <= S::stages * S::stage_bytes);
  float* own = reinterpret_cast<float*>(room);
  __syncthreads();  // products of the other warpgroups have read what stood here
  for_fours<S>(sums, [&](int r, int c, const float4& v) { *reinterpret_cast<float4*>(own + r * stride + c) = v; });
  hopper::cluster_sync();
  const int rank = static_cast<int>(hopper::cluster_rank());
  for (int i = rank * S::threads + static_cast<int>(threadIdx.x); i < S::rows * fours; i += cluster * S::threads) {
    const int row = i / fours, column = i % fours * 4;
    const std::uint32_t at = shared_address(own + row * stride + column);
    float4 parts[cluster];
#pragma unroll
    for (int b = 0; b < cluster; ++b) parts[b] = hopper::read_shared(hopper::map_shared(at, b));
#pragma unroll
    for (int size = 1; size < cluster; size *= 2)
#pragma unroll
      for (int b = 0; b < cluster; b += 2 * size) parts[b] = add(parts[b], parts[b + size]);
    target.write(row, column, parts[0]);
  }
  hopper::cluster_sync();  // the others have read
}

/// Tile blockIdx.x / cluster, along the columns first, of dW of network blockIdx.y; a block sums 1/cluster of the
/// parts, at most 2^levels.
template <class S, int cluster, int levels>
__global__ void __cluster_dims__(cluster, 1, 1) __launch_bounds__(S::threads, 1)
    sum_parts(const __grid_constant__ Grouped p, const __grid_constant__ PartsNode node) {
  extern __shared__ unsigned char shared[];
  const int tiles = (p.n + S::columns - 1) / S::columns, tile = static_cast<int>(blockIdx.x) / cluster;
  const int first = tile / tiles * S::rows, column = tile % tiles * S::columns, own = node.parts / cluster;
  const int rank = cluster == 1 ? 0 : static_cast<int>(hopper::cluster_rank());
  const Parts parts{own, node.rows, node.first + blockIdx.y * node.next_rows + Index{rank} * own * node.rows};
  const Target target = target_of(p, node.to + blockIdx.y * node.next, first, column, node.vector);
  const std::uint32_t ring = (shared_address(shared) + 1023) / 1024 * 1024;
  gpu::await_before();
  gpu::let_next_come();
  float sums[S::each];
  sum<S, levels>(sums, operands_of(p, first, column), parts, ring);
  if constexpr (cluster == 1)
    for_fours<S>(sums, [&](int r, int c, const float4& v) { target.write(r, c, v); });
  else
    add_blocks<S, cluster>(sums, reinterpret_cast<std::byte*>(shared + (ring - shared_address(shared))), target);
}

template <class S, int cluster, int levels>
void launch_parts(cudaStream_t stream, const Grouped& p, const PartsNode& node, int networks) {
  const auto kernel = sum_parts<S, cluster, levels>;
  static const bool ready = (allow_shared(reinterpret_cast<const void*>(kernel), S::shared_bytes), true);
  expect(ready && node.parts / cluster <= 1 << levels, "room for the parts of a block");
  const int tiles = (p.m + S::rows - 1) / S::rows * ((p.n + S::columns - 1) / S::columns);
  const dim3 blocks(static_cast<unsigned>(tiles * cluster), static_cast<unsigned>(networks));
  gpu::launch(kernel, blocks, S::threads, S::shared_bytes, stream, p, node);
}

template <class S>
void launch_node(cudaStream_t stream, const Grouped& p, const PartsNode& node, int networks) {
  switch (std::min(node.parts, 16)) {
    case 1:
      return launch_parts<S, 1, 0>(stream, p, node, networks);
    case 2:
      return launch_parts<S, 2, 0>(stream, p, node, networks);
    case 4:
      return launch_parts<S, 4, 0>(stream, p, node, networks);
    case 8:
      return launch_parts<S, 8, 0>(stream, p, node, networks);
    default:
      return (node.parts <= 64 ? launch_parts<S, 8, 3> : launch_parts<S, 8, 10>)(stream, p, node, networks);
  }
}

/// Into how many parts the `rows` of a grain are cut: a power of two that depends on them alone, of at least `least`
/// rows each.
inline int parts_of(Index rows, Index least) {
  int parts = 1;
  while (rows % (2 * parts) == 0 && rows / (2 * parts) >= least && parts < 64) parts *= 2;
  return parts;
}

/// dW of all networks and `nodes`, of even segments whose rows are cut into parts of at least `least`.
template <class S>
void sum_even(cudaStream_t stream, const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw,
              Index least) {
  const Index rows = p.segments.most;
  const int parts = parts_of(rows, least);
  Index grain = 0;
  for (std::size_t t = 0; t < nodes.size(); grain += nodes[t].size, ++t)
    launch_node<S>(stream, p,
                   {grain * rows, p.inner * rows, nodes[t].size * parts, static_cast<int>(rows / parts),
                    dw.data + static_cast<Index>(t) * dw.node, dw.next, writes_vectors(p, dw)},
                   p.count / p.inner);
}

}  // namespace switchyard::products::leaf_sums
