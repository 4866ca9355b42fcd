// Matrix products as plain loops in single precision, by the letter of tensor/products/products.hpp: one chain of
// std::fma an element, partial sums of grains added by the recursive definition of the tree.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/tree.hpp"

namespace switchyard::reference {

using Index = std::int64_t;

/// Σ a[s·a_step]·b[s·b_step] for s ascending from +0.
inline float chain(Index depth, const float* a, Index a_step, const float* b, Index b_step) {
  float sum = 0.0f;
  for (Index s = 0; s < depth; ++s) sum = std::fma(a[s * a_step], b[s * b_step], sum);
  return sum;
}

/// y(rows, n) = x(rows, k)·w(n, k)ᵀ.
inline std::vector<float> forward(Index rows, Index n, Index k, const float* x, const float* w) {
  std::vector<float> y(rows * n);
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < n; ++j) y[i * n + j] = chain(k, x + i * k, 1, w + j * k, 1);
  return y;
}

/// dx(rows, k) = dy(rows, n)·w(n, k).
inline std::vector<float> input_gradient(Index rows, Index n, Index k, const float* dy, const float* w) {
  std::vector<float> dx(rows * k);
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < k; ++j) dx[i * k + j] = chain(n, dy + i * n, 1, w + j, k);
  return dx;
}

/// Sum of values[0 … count) where the left part is the largest power of two below count.
inline float tree(const float* values, int count) {
  if (count == 1) return values[0];
  int left = 1;
  while (2 * left < count) left *= 2;
  return tree(values, left) + tree(values + left, count - left);
}

/// dw(n, k) of one node: `offsets` has node.size + 1 entries, the rows of its grains.
inline std::vector<float> weight_gradient(const TreeNode& node, const Index* offsets, Index n, Index k, const float* dy,
                                          const float* x) {
  std::vector<float> dw(n * k), grains(node.size);
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < k; ++j) {
      for (int g = 0; g < node.size; ++g)
        grains[g] = chain(offsets[g + 1] - offsets[g], dy + offsets[g] * n + i, n, x + offsets[g] * k + j, k);
      dw[i * k + j] = tree(grains.data(), node.size);
    }
  return dw;
}

}  // namespace switchyard::reference
