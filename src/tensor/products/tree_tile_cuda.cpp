// Weight gradients on an NVIDIA GPU where a grain has few rows of a network: per tile of dW one chain a grain, the
// grains added along the tree in registers, so that partial gradients, many times what is multiplied, never exist.
#include <cstdint>

#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/products/tile_panel_cuda.hpp"

namespace switchyard::products {
namespace {

constexpr int side = 64, depth = tile_depth(side), most_leaves = 1024;
using Sums = TileSums<side>;

/// The rows of a node, one leaf after another: of which `before` are before leaf l, and where leaf l's begin.
struct Leaves {
  int before[most_leaves + 1];
  Index begin[most_leaves];
};

__device__ void find_leaves(const Segments& segments, Index first, int size, Leaves& leaves) {
  for (int l = threadIdx.x; l < size; l += tile_threads) {
    leaves.begin[l] = segments.begin(first + l);
    leaves.before[l + 1] = static_cast<int>(segments.end(first + l) - leaves.begin[l]);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    leaves.before[0] = 0;
    for (int l = 0; l < size; ++l) leaves.before[l + 1] += leaves.before[l];
  }
  __syncthreads();
}

/// One thread's four columns of one row of each panel of dY or X; the rows are those of a node.
template <class T>
class RowReader {
 public:
  __device__ RowReader(const GroupOperand& o, int columns, int first)
      : data_(reinterpret_cast<const T*>(o.data) + first + column()),
        stride_(o.stride),
        valid_(columns - first - column()) {}
  template <bool vector>
  __device__ float4 read(const Leaves& leaves, int size, int step) {
    const int row = step + line();
    if (row >= leaves.before[size]) return {};
    while (row >= leaves.before[leaf_ + 1]) ++leaf_;
    return four<vector>(data_ + (leaves.begin[leaf_] + row - leaves.before[leaf_]) * stride_, valid_);
  }
  static __device__ void put(const float4& v, TilePanel<side>& panel) { panel.at[line()][column() / 4] = v; }

 private:
  static __device__ int column() { return threadIdx.x % (side / 4) * 4; }
  static __device__ int line() { return threadIdx.x / (side / 4); }
  const T* data_;
  Index stride_;
  int valid_, leaf_ = 0;
};

__device__ void add(const Sums& left, Sums& sums) {
#pragma unroll
  for (int i = 0; i < Sums::width; ++i)
#pragma unroll
    for (int j = 0; j < Sums::width; ++j) sums.at[i][j] = left.at[i][j] + sums.at[i][j];
}

/// A leaf is done: added to the finished left halves that wait for it, or waits itself. All indices are constants, or
/// registers would not do.
template <int level = 0, int levels>
__device__ void finish(int leaf, Sums (&waiting)[levels], Sums& sums) {
  if constexpr (level < levels) {
    if (leaf >> level & 1) {
      add(waiting[level], sums);
      finish<level + 1>(leaf, waiting, sums);
    } else {
      waiting[level] = sums;
    }
  }
}

template <bool vector>
__device__ void write(const Sums& sums, float* to, const Grouped& p, int row, int column) {
#pragma unroll
  for (int i = 0; i < Sums::width; ++i) {
    const int r = row + 4 * (threadIdx.x / 16) + i, c = column + 4 * (threadIdx.x % 16);
    if (r >= p.m || c >= p.n) continue;
    float* at = to + Index{r} * p.n + c;
    if constexpr (vector) {
      *reinterpret_cast<float4*>(at) = {sums.at[i][0], sums.at[i][1], sums.at[i][2], sums.at[i][3]};
    } else {
#pragma unroll
      for (int j = 0; j < Sums::width; ++j)
        if (c + j < p.n) at[j] = sums.at[i][j];
    }
  }
}

/// A tile of dW of network blockIdx.x: rows from 64·blockIdx.y, columns from 64·blockIdx.z.
template <class In, int levels, bool vector>
__global__ void __launch_bounds__(tile_threads, levels > 3 ? 1 : 2) sum_tile(Grouped p, NodeOfNetworks node) {
  __shared__ TilePanel<side> a[2], b[2];
  __shared__ Leaves leaves;
  const int row = static_cast<int>(blockIdx.y) * side, column = static_cast<int>(blockIdx.z) * side;
  find_leaves(p.segments, node.segment + blockIdx.x * node.segments, node.size, leaves);
  RowReader<In> dy(p.a, p.m, row), x(p.b, p.n, column);
  Sums sums{}, waiting[levels];
  int leaf = 0, now = 0;
  const int rows = leaves.before[node.size];
  const auto read = [&](RowReader<In>& from, int at) { return from.template read<vector>(leaves, node.size, at); };
  float4 next_a = read(dy, 0), next_b = read(x, 0);
  for (int first = 0; first < rows; first += depth, now ^= 1) {
    dy.put(next_a, a[now]), x.put(next_b, b[now]);
    __syncthreads();  // and no thread is more than one panel behind, whose panels are the other ones
    next_a = read(dy, first + depth), next_b = read(x, first + depth);
    for (int k = 0, last = min(depth, rows - first); k < last;) {
      for (; leaves.before[leaf + 1] <= first + k; ++leaf, sums = {}) finish(leaf, waiting, sums);
      const int end = min(last, leaves.before[leaf + 1] - first);
#pragma unroll 4
      for (; k < end; ++k) multiply_add(a[now], b[now], k, sums);
    }
  }
  for (; leaf + 1 < node.size; ++leaf, sums = {}) finish(leaf, waiting, sums);
  finish(leaf, waiting, sums);
  write<vector>(sums, node.to + blockIdx.x * node.next, p, row, column);
}

template <class In, bool vector>
void launch(cudaStream_t stream, const Grouped& p, const NodeOfNetworks& node, int networks) {
  expect(node.size <= most_leaves, "at most 1024 grains of a rank");
  const dim3 blocks(static_cast<unsigned>(networks), static_cast<unsigned>((p.m + side - 1) / side),
                    static_cast<unsigned>((p.n + side - 1) / side));
  if (node.size <= 8)
    sum_tile<In, 3, vector><<<blocks, tile_threads, 0, stream>>>(p, node);
  else if (node.size <= 64)
    sum_tile<In, 6, vector><<<blocks, tile_threads, 0, stream>>>(p, node);
  else
    sum_tile<In, 10, vector><<<blocks, tile_threads, 0, stream>>>(p, node);
  check_cuda(cudaGetLastError(), "sum_tile");
}

}  // namespace

void sum_tiles(cudaStream_t stream, const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw) {
  const auto aligned = [](const void* data, Index of) {
    return reinterpret_cast<std::uintptr_t>(data) % sizeof(float4) == 0 && of % 4 == 0;
  };
  const bool vector = p.m % 4 == 0 && p.n % 4 == 0 && aligned(p.a.data, p.a.stride) && aligned(p.b.data, p.b.stride) &&
                      aligned(dw.data, dw.node) && dw.next % 4 == 0;
  const auto of_halves = vector ? launch<Bf16, true> : launch<Bf16, false>;
  const auto with = p.of.a == Element::bf16 ? of_halves : vector ? launch<float, true> : launch<float, false>;
  const int networks = p.count / p.inner;
  Index segment = 0;
  for (std::size_t t = 0; t < nodes.size(); segment += nodes[t].size, ++t) {
    const NodeOfNetworks node{segment, p.inner, nodes[t].size, dw.data + static_cast<Index>(t) * dw.node, dw.next};
    (few_rows_take(p, node, networks) ? sum_few_rows : with)(stream, p, node, networks);
  }
}

}  // namespace switchyard::products
