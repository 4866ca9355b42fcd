// Causal grouped-query attention on projected rows (Vaswani et al. 2017; Ainslie et al. 2023): causal_host.cpp or
// causal_cuda.cpp behind one header. A sum is made by one iteration in a fixed order, so no bit depends on threads.
#pragma once
#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

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

/// Cosines and sines (T, D/2) of the angles by which queries and keys turn (rope.hpp); empty where they do not.
struct Rotation {
  Matrix<float> cosine, sine;
};

/// What the forward pass reads and leaves for the backward pass, all of one element. Queries and keys come as they were
/// projected; whether they are left turned is for the backward pass of the same backend alone to know.
struct AttentionState {
  Tensor q;               ///< (N, heads*D)
  Tensor k;               ///< (N, kv_heads*D)
  Tensor v;               ///< (N, kv_heads*D)
  Tensor out;             ///< (N, heads*D)
  Matrix<float> log_sum;  ///< (heads, N) log of the sum of exponentials of a query's scaled scores
};

/// Gradients of the backward pass, shaped as their values and of their element; of queries and keys as they came.
struct AttentionGradient {
  Tensor out;  ///< given
  Tensor q, k, v;
};

/// Floats of working memory that a pass on `threads` host threads needs, forward or backward; the same memory serves
/// one pass after another.
Index attention_memory(const AttentionShape& shape, Element element, int threads);

/// Fills state.out and state.log_sum from q, k, v.
void attention_forward(const Queue& queue, const AttentionShape& shape, const Rotation& rotation,
                       const AttentionState& state, const Vector<float>& memory);

/// Fills gradient.q, .k, .v from gradient.out; probabilities are computed again from log_sum.
void attention_backward(const Queue& queue, const AttentionShape& shape, const Rotation& rotation,
                        const AttentionState& state, const AttentionGradient& gradient, const Vector<float>& memory);

}  // namespace switchyard::model
