// Products of rows of bf16 by floats at the accuracy of floats, on tensor cores (split_tile_cuda.hpp): those of a
// router whose rows are halves.
//
// Contract C1: the order of a sum follows from widths and the rows of a piece, never from how many rows there are.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "base/tree.hpp"
#include "tensor/products/split_tile_cuda.hpp"

namespace switchyard::products::split {

/// y(rows, columns) = x·wᵀ, or added to it. Rows of y lie y_stride apart.
void forward(cudaStream_t stream, const TileOperands& operands, float* y, std::int64_t y_stride, bool add);

/// dw(m, n) of each of `nodes` = tree sum over its pieces of Σ_rows g(row, ·)ᵀ x(row, ·); node t at dw + t·node. Pieces
/// are `pieces` times `piece_rows` rows, one after another. n is a multiple of 8; x has rows that start at 16 bytes.
struct WeightGradient {
  const float* g;
  std::int64_t g_stride;
  const std::uint16_t* x;
  std::int64_t x_stride;
  int m, n;
  std::int64_t piece_rows;
  int pieces;
  float* dw;
  std::int64_t node;
};
constexpr int most_nodes = 24, most_pieces = 1024;  ///< that one launch takes
/// Rows that one block sums, by the widths and a piece's rows alone.
std::int64_t slice_rows(const WeightGradient& p);
/// Bytes of partial sums, and words that are zero before each launch and after it.
std::int64_t partial_bytes(const WeightGradient& p, std::int64_t rows_of_slice);
std::int64_t counters(const WeightGradient& p);
void weight_gradient(cudaStream_t stream, const WeightGradient& p, const std::vector<TreeNode>& nodes,
                     std::int64_t rows_of_slice, std::byte* partials, unsigned* zeros);

}  // namespace switchyard::products::split
