// The attention half of a block: projections, rotary positions, attention, output projection.
#pragma once
#include <string>

#include "model/attention.hpp"
#include "model/rope.hpp"
#include "nn/linear.hpp"

namespace switchyard::model {

/// What the attention of a block keeps from its forward to its backward pass.
struct AttentionPass {
  /// `lane_rows` and the table of angles must live.
  AttentionPass(Arena& arena, const nn::Rows& lane_rows, const Rope& angles, const Config& config);
  AttentionShape shape;
  AttentionState state;
  const nn::Rows& rows;  ///< the lane's
  const Rope& rope;      ///< of all blocks
  Tensor x;              ///< (N, d) the caller's
};

/// Memory that all blocks use one after another.
struct AttentionScratch {
  AttentionScratch() = default;
  /// Working memory for `threads` host threads.
  AttentionScratch(Arena& arena, const nn::Rows& rows, const Config& config, int threads);
  AttentionGradient gradient;
  Vector<float> working;  ///< attention_memory
};

/// Holds parameters only.
class SelfAttention {
 public:
  /// Of PREFIX.{q,k,v,o}.weight.
  SelfAttention(const ParameterSet& parameters, const std::string& prefix);
  /// y(N, d) += attention(x(N, d)). x is kept (not copied) until backward.
  void forward(const Queue& queue, const AttentionScratch& scratch, const Tensor& x, const Tensor& y,
               AttentionPass& pass) const;
  /// dx(N, d) from dy(N, d) of y's increment; fills the gradients of the weights.
  void backward(const Queue& queue, const AttentionScratch& scratch, const Tensor& dy, const Tensor& dx,
                const AttentionPass& pass) const;

 private:
  nn::Linear q_, k_, v_, o_;
};

}  // namespace switchyard::model
