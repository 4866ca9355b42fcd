// Matrix products, row-major, on device memory. One header; products_host.cpp (Kokkos, SIMD), products_cutlass_cuda.cpp
// or, without CUTLASS, products_cublas.cpp behind it. Weights are stored (N, K) = (out, in).
//
// Contract C1 on the host: every element of a result is ONE chain of fused multiply-adds of floats over the summed
// index in ascending order, starting at +0, rounded to the element of the result at its end — so tile shapes, threads,
// and the place of a row among others cannot change a bit, and a scalar loop gives the same bits. Weight gradients are
// such chains over the rows of one grain, added along the tree of base/tree.hpp.
#pragma once
#include <algorithm>
#include <vector>

#include "base/tree.hpp"
#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

namespace switchyard::products {

/// Whether a product replaces its result or is added to it (one addition after the chain).
enum class Write { replace, add };

/// Rows of segment s are [first[s], last[s]) of the matrices that a product reads and writes; the segments of results
/// do not overlap. Both tables are device memory, since loads are decided there; the host has bounds only: at most
/// `rows` rows in all, at most `most` in one segment. Without tables segments lie one after another, each of `most`.
struct Segments {
  int count;
  const Index* first;
  const Index* last;
  Index rows, most;
  KOKKOS_INLINE_FUNCTION Index begin(Index s) const { return first ? first[s] : s * most; }
  KOKKOS_INLINE_FUNCTION Index end(Index s) const { return first ? last[s] : (s + 1) * most; }
};

/// Even segments one after another, each of `rows`; a dense product is one of them.
inline Segments even(int count, Index rows) { return {count, nullptr, nullptr, count * rows, rows}; }
inline Segments dense(Index rows) { return even(1, rows); }

/// Segments one after another: s is [offsets[s], offsets[s + 1]) of device memory; `rows` in all.
inline Segments consecutive(const Index* offsets, int count, Index rows) {
  return {count, offsets, offsets + 1, rows, rows};
}

/// Tables of segments whose numbers of rows the host has: made once, not in a step.
class SegmentTable {
 public:
  /// One after another: s is [offsets[s], offsets[s + 1]).
  explicit SegmentTable(const std::vector<Index>& offsets)
      : SegmentTable(std::vector<Index>(offsets.begin(), offsets.end() - 1), {offsets.begin() + 1, offsets.end()}) {}
  /// s is [first[s], last[s]).
  SegmentTable(const std::vector<Index>& first, const std::vector<Index>& last)
      : first_(on_device(first)), last_(on_device(last)) {
    for (std::size_t s = 0; s < first.size(); ++s)
      rows_ += last[s] - first[s], most_ = std::max(most_, last[s] - first[s]);
  }
  Segments segments() const { return {static_cast<int>(first_.extent(0)), first_.data(), last_.data(), rows_, most_}; }
  operator Segments() const { return segments(); }  // NOLINT: a table is what a product asks for

 private:
  static Vector<Index> on_device(const std::vector<Index>& values) {
    const auto view = make_view<Vector<Index>>("products::segments", values.size());
    Kokkos::deep_copy(view, HostVector<const Index>(values.data(), values.size()));
    return view;
  }
  Vector<Index> first_, last_;
  Index rows_ = 0, most_ = 0;
};

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
  /// Rows of a segment at even loads, by the configuration alone, so that it may choose between kernels of other bits;
  /// 0 where nobody says.
  Index usual = 0;
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
