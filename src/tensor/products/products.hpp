// Matrix products, row-major, on device memory. One header; products_host.cpp (Kokkos, SIMD) or products_cublas.cpp
// behind it. Weights are stored (N, K) = (out, in).
//
// Contract C1 on the host: every element of a result is ONE chain of fused multiply-adds of floats over the summed
// index in ascending order, starting at +0, rounded to the element of the result at its end — so tile shapes, threads,
// and the place of a row among others cannot change a bit, and a scalar loop gives the same bits. Weight gradients are
// such chains over the rows of one grain, added along the tree of base/tree.hpp.
#pragma once
#include <vector>

#include "base/tree.hpp"
#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

namespace switchyard::products {

/// Whether a product replaces its result or is added to it (one addition after the chain).
enum class Write { replace, add };

/// Rows of segment s are [first[s], last[s]) of the matrices that a product reads and writes; the segments of results
/// do not overlap. A dense product is one segment. Host memory: sends and buffers are sized by the same numbers, so the
/// host has them before any row moves.
struct Segments {
  int count;
  const Index* first;
  const Index* last;
  Index rows(Index s) const { return last[s] - first[s]; }
};

/// Segments one after another: s is [offsets[s], offsets[s + 1]).
inline Segments consecutive(const std::vector<Index>& offsets) {
  return {static_cast<int>(offsets.size()) - 1, offsets.data(), offsets.data() + 1};
}

/// The matrix (N, K) of segment s: `matrix`, s·next elements on.
struct Weights {
  Tensor matrix;
  Index next = 0;
  Tensor of(Index s) const {
    Tensor m = matrix;
    m.data += s * next * bytes_of(m.element);
    return m;
  }
};

/// Y(M, N) = X(M, K) · W(N, K)ᵀ for each segment.
void forward(const Queue& queue, const Segments& segments, const Tensor& x, const Weights& w, const Tensor& y,
             Write write = Write::replace);

/// dX(M, K) = dY(M, N) · W(N, K) for each segment.
void input_gradient(const Queue& queue, const Segments& segments, const Tensor& dy, const Weights& w, const Tensor& dx,
                    Write write = Write::replace);

/// The rows of network e and local grain g are segment e·grains + g. `nodes` are the tree nodes that make up the local
/// grains, in order.
struct GrainSegments {
  Segments segments;
  int networks;
  int grains;
  const std::vector<TreeNode>* nodes;
};

/// Gradients in floats: that of network e and node t is the matrix (N, K) at data + t·node + e·next.
struct Gradients {
  float* data;
  Index node, next;
};

/// dW of network e and node t: tree sum over the grains of t of Σ_rows dY(row, ·)ᵀ X(row, ·). Networks or grains
/// without rows give +0. Replaces dW.
void weight_gradient(const Queue& queue, const GrainSegments& segments, const Tensor& dy, const Tensor& x,
                     const Gradients& dw);

}  // namespace switchyard::products
