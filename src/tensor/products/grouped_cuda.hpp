// Products of many segments as one launch on an NVIDIA GPU; where each begins is read on the device. Private to the
// CUDA builds with CUTLASS.
#pragma once
#include "tensor/products/group_launch_cuda.hpp"
#include "tensor/products/products.hpp"

namespace switchyard::products {

namespace split {
struct WeightGradient;
}

/// Which product of products.hpp: D(m, n) = A(m, k)·B(k, n), one a group.
enum class Kind { forward, input_gradient, weight_gradient };

/// Where a group's operand begins: that of segment s at data + begin(s)·by_row + s/inner·by_outer + s%inner·by_inner,
/// all in bytes; its rows lie `stride` elements apart.
struct GroupOperand {
  std::byte* data;
  Index stride, by_row, by_outer, by_inner;
};

/// Elements of the operands and of the result.
struct Elements {
  Element a, b, d;
  bool alike(Element e) const { return a == e && b == e; }
};

/// Groups are the segments [first, first + count).
struct Grouped {
  Kind kind;
  Elements of;
  bool add;
  Segments segments;
  int first, count, inner;
  int m, n, k;  ///< of one group; −1 for that which is the segment's rows: m, of weight gradients k
  GroupOperand a, b, d;

  KOKKOS_INLINE_FUNCTION Index rows(int group) const {
    return segments.end(first + group) - segments.begin(first + group);
  }
  KOKKOS_INLINE_FUNCTION std::byte* begin(const GroupOperand& o, int group) const {
    const int s = first + group;
    return o.data + segments.begin(s) * o.by_row + s / inner * o.by_outer + s % inner * o.by_inner;
  }
};

/// Tables in `memory`, table_bytes a group, a multiple of 8 bytes before each.
GroupTables tables_at(std::byte* memory, int groups);

/// Fills the tables of the groups of `product`.
void fill_tables(cudaStream_t stream, const Grouped& product, const GroupTables& tables);

/// Whether a kernel on tensor cores takes the product (CUTLASS weight gradients, experts_cuda.hpp the others): a matter
/// of the layout of parameters and rows, never of how many rows there are.
bool tensor_cores_take(const Grouped& product);

/// Any product in tiles of ours, without tensor cores: every element one chain of fused multiply-adds over k ascending.
void multiply_tiles(cudaStream_t stream, const Grouped& product);

/// dW of each network and node of `nodes` from the partials (networks, grains, elements), along the tree; networks
/// [first, first + networks) of dw.
struct TreeSum {
  const float* partials;
  Index elements;
  int first, networks, grains;
};
void sum_partials(cudaStream_t stream, const TreeSum& sum, const std::vector<TreeNode>& nodes, const Gradients& dw);

/// The same without partials, by tiles of ours: dW of all networks and `nodes`, of a weight gradient whose groups are
/// the grains; p.d is not used.
void sum_tiles(cudaStream_t stream, const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw);

/// The same on tensor cores, of bf16 that they take.
void sum_halves(cudaStream_t stream, const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw);

/// The same where segments have no tables: the rows of a grain in parts of 512 and more, parts and grains added along
/// one tree in one launch a node.
void sum_even_halves(cudaStream_t stream, const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw);

/// A node of the tree for all networks: its first leaf of network 0 and the leaves from one network to the next, as
/// segments; its leaves; where dW of network 0 goes, and from there to that of the next.
struct NodeOfNetworks {
  Index segment, segments;
  int size;
  float* to;
  Index next;
};

/// sum_tiles of one node of `networks` for few rows of bf16 a grain (few_rows_cuda.cpp), of the same bits; whether it
/// takes them is a matter of layouts.
bool few_rows_take(const Grouped& p, const NodeOfNetworks& node, int networks);
void sum_few_rows(cudaStream_t stream, const Grouped& p, const NodeOfNetworks& node, int networks);

/// Device memory that grows and is kept; contents are lost when it grows, which must not be while a graph is captured:
/// a step that is captured was done before, and no size depends on rows.
class DeviceScratch {
 public:
  DeviceScratch() = default;
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;
  ~DeviceScratch();
  std::byte* bytes(Index n);

 private:
  void* data_ = nullptr;
  Index size_ = 0;
};

/// What the products keep in a stream, and the products themselves.
class GroupedProducts {
 public:
  explicit GroupedProducts(cudaStream_t stream);
  void rows(Kind kind, const Segments& segments, const Tensor& from, const Weights& w, const Tensor& to, Write write);
  void weight_gradient(const GrainSegments& segments, const Tensor& dy, const Tensor& x, const Gradients& dw);

 private:
  void sum_slices(const split::WeightGradient& p, const std::vector<TreeNode>& nodes);
  void multiply(const Grouped& product);
  cudaStream_t stream_;
  int processors_ = 0;
  DeviceScratch tables_, workspace_, partials_, zeros_;
  Index zero_words_ = 0;  ///< of zeros_, before each kernel and after it
};

}  // namespace switchyard::products
