// Partial weight gradients added along the tree of base/tree.hpp, on an NVIDIA GPU.
#include <bit>
#include <cstdint>

#include "base/check.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/products/grouped_cuda.hpp"

namespace switchyard::products {
namespace {

constexpr int threads = 256;

__device__ float add(float a, float b) { return a + b; }
__device__ float4 add(float4 a, float4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

/// One node: its partials lie `stride` vectors apart.
template <int size, class V>
__device__ V sum_of(const V* partials, Index stride) {
  if constexpr (size == 1)
    return *partials;
  else
    return add(sum_of<size / 2>(partials, stride), sum_of<size / 2>(partials + size / 2 * stride, stride));
}

/// Nodes of which more than 32 partials are: as a binary counter does.
template <class V>
__device__ V sum_of(const V* partials, Index stride, int size) {
  V stack[32];
  int height = 0;
  for (int leaf = 0; leaf < size; ++leaf) {
    V sum = partials[leaf * stride];
    for (int merges = __ffs(~leaf) - 1; merges > 0; --merges) sum = add(stack[--height], sum);
    stack[height++] = sum;
  }
  return stack[0];
}

/// Of network blockIdx.y: the node that begins at `partials`, to `to`; numbers in vectors.
template <int size, class V>
__global__ void sum_node(const V* partials, V* to, Index elements, Index network, Index next, int many) {
  const Index i = Index{blockIdx.x} * threads + threadIdx.x;
  gpu::await_before();
  gpu::let_next_come();
  if (i >= elements) return;
  const V* from = partials + blockIdx.y * network + i;
  to[blockIdx.y * next + i] =
      size > 0 ? sum_of < size == 0 ? 1 : size > (from, elements) : sum_of(from, elements, many);
}

template <class V>
struct NodeSum {
  const V* partials;
  V* to;
  Index elements, network, next;
  int networks;
};

template <int size, class V>
void launch(cudaStream_t stream, const NodeSum<V>& s, int many = 0) {
  const dim3 blocks(static_cast<unsigned>((s.elements + threads - 1) / threads), static_cast<unsigned>(s.networks));
  gpu::launch(sum_node<size, V>, blocks, threads, 0, stream, s.partials, s.to, s.elements, s.network, s.next, many);
}

template <class V>
void launch_of_size(cudaStream_t stream, const NodeSum<V>& s, int size) {
  switch (size) {
    case 1:
      return launch<1>(stream, s);
    case 2:
      return launch<2>(stream, s);
    case 4:
      return launch<4>(stream, s);
    case 8:
      return launch<8>(stream, s);
    case 16:
      return launch<16>(stream, s);
    case 32:
      return launch<32>(stream, s);
    default:
      return launch<0>(stream, s, size);
  }
}

template <class V>
void sum_nodes(cudaStream_t stream, const TreeSum& sum, const std::vector<TreeNode>& nodes, const Gradients& dw) {
  constexpr Index width = sizeof(V) / sizeof(float);
  const Index elements = sum.elements / width;
  const auto* partials = reinterpret_cast<const V*>(sum.partials);
  for (std::size_t t = 0; t < nodes.size(); partials += nodes[t].size * elements, ++t) {
    auto* to = reinterpret_cast<V*>(dw.data + static_cast<Index>(t) * dw.node + sum.first * dw.next);
    launch_of_size<V>(stream, {partials, to, elements, sum.grains * elements, dw.next / width, sum.networks},
                      nodes[t].size);
  }
}

}  // namespace

void sum_partials(cudaStream_t stream, const TreeSum& sum, const std::vector<TreeNode>& nodes, const Gradients& dw) {
  if (sum.networks == 0 || sum.elements == 0) return;
  const bool vectors = sum.elements % 4 == 0 && dw.next % 4 == 0 && dw.node % 4 == 0 &&
                       reinterpret_cast<std::uintptr_t>(dw.data) % sizeof(float4) == 0;
  (vectors ? sum_nodes<float4> : sum_nodes<float>)(stream, sum, nodes, dw);
}

}  // namespace switchyard::products
