// The attention half of a block: projections, rotary positions, attention, output projection.
#pragma once
#include <string>

#include "model/attention.hpp"
#include "model/rope.hpp"
#include "nn/linear.hpp"

namespace switchyard::model {

/// Memory that all blocks use one after another.
struct AttentionScratch {
  explicit AttentionScratch(const nn::Rows& rows, const Config& config);
  AttentionGradient gradient;
  Vector<float> working;  ///< attention_memory
};

class SelfAttention {
 public:
  /// Of PREFIX.{q,k,v,o}.weight.
  SelfAttention(const ParameterSet& parameters, const std::string& prefix, const Config& config);
  /// Memory for `rows`; before the first pass.
  void allocate(const nn::Rows& rows);
  /// y(N, d) += attention(x(N, d)). x is kept (not copied) until backward.
  void forward(const nn::Rows& rows, const Rope& rope, const AttentionScratch& scratch, const Matrix<float>& x,
               const Matrix<float>& y);
  /// dx(N, d) from dy(N, d) of y's increment; fills the gradients of the weights.
  void backward(const nn::Rows& rows, const Rope& rope, const AttentionScratch& scratch, const Matrix<float>& dy,
                const Matrix<float>& dx) const;

 private:
  nn::Linear q_, k_, v_, o_;
  AttentionShape shape_;
  AttentionState state_;
  Matrix<float> x_;
};

}  // namespace switchyard::model
