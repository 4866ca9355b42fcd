// Causal grouped-query attention on projected rows (Vaswani et al. 2017; Ainslie et al. 2023): causal_host.cpp or
// causal_cuda.cpp behind one header. A sum is made by one iteration in a fixed order, so no bit depends on threads.
#pragma once
#include "tensor/queue.hpp"

namespace switchyard::model {

/// Sequences stand one after another: token t of sequence s is row s*context + t. Query head h uses key and value head
/// h / (heads / kv_heads). Scores are scaled by 1/√head_dim.
struct AttentionShape {
  Index sequences = 0;
  int context = 0;  ///< T
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;  ///< D
};

/// What the forward pass reads and leaves for the backward pass.
struct AttentionState {
  Matrix<float> q;        ///< (N, heads*D)
  Matrix<float> k;        ///< (N, kv_heads*D)
  Matrix<float> v;        ///< (N, kv_heads*D)
  Matrix<float> out;      ///< (N, heads*D)
  Matrix<float> log_sum;  ///< (heads, N) log of the sum of exponentials of a query's scaled scores
};

/// Gradients of the backward pass, shaped as their values.
struct AttentionGradient {
  Matrix<float> out;  ///< given
  Matrix<float> q, k, v;
};

/// Floats of working memory that a pass on `threads` host threads needs, forward or backward; the same memory serves
/// one pass after another.
Index attention_memory(const AttentionShape& shape, int threads);

/// Fills state.out and state.log_sum from q, k, v.
void attention_forward(const Queue& queue, const AttentionShape& shape, const AttentionState& state,
                       const Vector<float>& memory);

/// Fills gradient.q, .k, .v from gradient.out; probabilities are computed again from log_sum.
void attention_backward(const Queue& queue, const AttentionShape& shape, const AttentionState& state,
                        const AttentionGradient& gradient, const Vector<float>& memory);

}  // namespace switchyard::model
