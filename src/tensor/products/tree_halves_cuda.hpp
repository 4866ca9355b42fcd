// Weight gradients of bf16 whose grains have tables of rows, on Hopper: a tile of dW a block, the grains of a node
// added along the tree in registers (leaf_sums_cuda.hpp).
#pragma once
#include "base/check.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/products/grouped_cuda.hpp"
#include "tensor/products/leaf_sums_cuda.hpp"

namespace switchyard::products::leaf_sums {

/// The grains of a node, their rows anywhere.
template <int most>
struct Grains {
  int size;
  Index begins[most];
  int counts[most];
  __device__ Index begin(int leaf) const { return begins[leaf]; }
  __device__ int rows(int leaf) const { return counts[leaf]; }
  /// Segments [first, first + n). By the block.
  __device__ void find(const Segments& segments, Index first, int n) {
    for (int l = threadIdx.x; l < n; l += blockDim.x) {
      begins[l] = segments.begin(first + l);
      counts[l] = static_cast<int>(segments.end(first + l) - begins[l]);
    }
    if (threadIdx.x == 0) size = n;
    __syncthreads();
  }
};

/// A node of all networks.
struct Node {
  Index segment, segments;  ///< its first leaf of network 0, and from one network to the next
  int size;
  float* to;
  Index next;
  bool vector;  ///< see Target
};

/// The operands and the target of a tile of dW; operands from row `row` on.
__device__ inline Operands operands_of(const Grouped& p, int first, int column) {
  const auto halves = [](const std::byte* data) { return reinterpret_cast<const __nv_bfloat16*>(data); };
  return {halves(p.a.data) + first, halves(p.b.data) + column, p.a.stride, p.b.stride, p.m - first, p.n - column};
}
__device__ inline Target target_of(const Grouped& p, float* to, int first, int column, bool vector) {
  return {to + Index{first} * p.n + column, p.n, p.m - first, p.n - column, vector};
}

/// Tile blockIdx.x, along the columns first, of dW of network blockIdx.y.
template <class S, int levels>
__global__ void __launch_bounds__(S::threads, levels > 3 ? 1 : S::blocks)
    sum_grains(const __grid_constant__ Grouped p, const __grid_constant__ Node node) {
  extern __shared__ unsigned char shared[];
  __shared__ Grains<1 << levels> grains;
  const int tiles = (p.n + S::columns - 1) / S::columns, tile = static_cast<int>(blockIdx.x);
  const int first = tile / tiles * S::rows, column = tile % tiles * S::columns;
  const Target target = target_of(p, node.to + blockIdx.y * node.next, first, column, node.vector);
  gpu::await_before();
  gpu::let_next_come();
  grains.find(p.segments, node.segment + blockIdx.y * node.segments, node.size);
  float sums[S::each];
  sum<S, levels>(sums, operands_of(p, first, column), grains, (shared_address(shared) + 1023) / 1024 * 1024);
  for_fours<S>(sums, [&](int r, int c, const float4& v) { target.write(r, c, v); });
}

template <class S, int levels>
void launch_grains(cudaStream_t stream, const Grouped& p, const Node& node, int networks) {
  const auto kernel = sum_grains<S, levels>;
  static const bool ready = (allow_shared(reinterpret_cast<const void*>(kernel), S::shared_bytes), true);
  expect(ready && node.size <= 1 << levels, "room for the grains of a node");
  const dim3 blocks(static_cast<unsigned>((p.m + S::rows - 1) / S::rows * ((p.n + S::columns - 1) / S::columns)),
                    static_cast<unsigned>(networks));
  gpu::launch(kernel, blocks, S::threads, S::shared_bytes, stream, p, node);
}

inline bool writes_vectors(const Grouped& p, const Gradients& dw) {
  return reinterpret_cast<std::uintptr_t>(dw.data) % sizeof(float4) == 0 && dw.node % 4 == 0 && dw.next % 4 == 0 &&
         p.n % 4 == 0;
}

/// dW of all networks and `nodes`; registers hold the tree of nodes of at most 8 grains.
template <class S>
void sum_all(cudaStream_t stream, const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw) {
  Index segment = 0;
  for (std::size_t t = 0; t < nodes.size(); segment += nodes[t].size, ++t) {
    const Node node{
        segment, p.inner, nodes[t].size, dw.data + static_cast<Index>(t) * dw.node, dw.next, writes_vectors(p, dw)};
    const auto with = node.size <= 8 ? launch_grains<S, 3> : launch_grains<S, 10>;
    with(stream, p, node, p.count / p.inner);
  }
}

}  // namespace switchyard::products::leaf_sums
