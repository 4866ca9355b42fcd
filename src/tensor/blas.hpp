// Matrix products, row-major and contiguous, on device pointers. One header; blas_host.cpp (Kokkos, SIMD) or
// blas_cublas.cpp behind it. Weights are stored (N, K) = (out, in).
//
// Contract C1 on the host: every element of a result is ONE chain of fused multiply-adds over the summed index in
// ascending order, starting at +0 — so tile shapes, threads, and the place of a row among others cannot change a bit,
// and a scalar loop gives the same bits. Weight gradients are such chains over the rows of one grain, added along the
// tree of base/tree.hpp.
//
// Products have seven arguments: the division of rows, two sizes, three matrices and how to write are what a product
// is.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/tree.hpp"

namespace switchyard::blas {

using Index = std::int64_t;

/// Whether a product replaces its result or is added to it (one addition after the chain).
enum class Write { replace, add };

/// Rows of group e are [offsets[e], offsets[e+1]) of X and Y; W holds `count` matrices (N, K). A dense
/// product is one group. `offsets` lies in host memory.
struct Groups {
  int count;
  const Index* offsets;
  Index stride = 0;  ///< from one matrix of W to the next; 0: they are packed, n*k
};

/// Y(M, N) = X(M, K) · W(N, K)ᵀ for each group.
void forward(const Groups& groups, Index n, Index k, const float* x, const float* w, float* y,
             Write write = Write::replace);

/// dX(M, K) = dY(M, N) · W(N, K) for each group.
void input_gradient(const Groups& groups, Index n, Index k, const float* dy, const float* w, float* dx,
                    Write write = Write::replace);

/// Rows of group e and local grain g are [offsets[e*grains + g], offsets[e*grains + g + 1]); `offsets` has
/// count*grains + 1 entries, in host memory. `nodes` are the tree nodes that make up the local grains, in order.
struct GrainGroups {
  int count;
  int grains;
  const Index* offsets;
  const std::vector<TreeNode>* nodes;
  Index stride = 0;  ///< from one matrix of dW to the next; 0: they are packed, n*k
};

/// Elements from one matrix (N, K) of a product to the next.
template <class G>
Index matrix_stride(const G& groups, Index n, Index k) {
  return groups.stride > 0 ? groups.stride : n * k;
}

/// dW of group e and node t, at dw + t*node_stride + e*stride: tree sum over the grains of t of Σ_rows dY(row, ·)ᵀ
/// X(row, ·). Groups or grains without rows give +0. Replaces dW.
void weight_gradient(const GrainGroups& groups, Index n, Index k, const float* dy, const float* x, float* dw,
                     Index node_stride);

/// What computes the products, for --version and the record: "simd avx2 8 x 6x16", "cuBLAS 13.0".
const char* description();
/// What else than this program the bits depend on: the library and the architecture of the current device. "" on a
/// host, where products are our own and the same on every processor with fused multiply-adds.
std::string bits_depend_on();

}  // namespace switchyard::blas
