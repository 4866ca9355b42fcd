// The head: logits of the next token, softmax cross-entropy and the optional z-loss.
#pragma once
#include <cstdint>
#include <vector>

#include "model/linear.hpp"
#include "moe/layer.hpp"

namespace switchyard::model {

/// What one pass over the rows of logits reads and leaves. Losses of a row: cross-entropy log_sum − logit(target), and
/// log_sum² for the z-loss (Zoph et al. 2022).
struct HeadRows {
  Matrix<float> logits;            ///< (N, V); training passes leave the gradient of the objective in its place
  Vector<std::int32_t> targets;    ///< (N)
  Vector<float> loss, log_sum;     ///< (N)
  Vector<std::int32_t> predicted;  ///< (N) most probable token, the smallest of equals
  float token_weight = 0.0f;       ///< 1 / tokens of the global batch
  float z_weight = 0.0f;           ///< coefficient / tokens of the global batch
};

/// One pass over every row: head_host.cpp or head_cuda.cpp.
void head_losses(const HeadRows& rows, moe::Pass pass);

class Head {
 public:
  /// Declares head.weight (V, d), or shares the embedding's parameter `tied_to` where that is ≥ 0.
  Head(ParameterSet& parameters, const Config& config, int tied_to);
  /// Memory for `rows`; before the first pass.
  void allocate(const Rows& rows);
  /// Losses of x(N, d) against `targets` (N); x is kept (not copied) until backward.
  void forward(const Rows& rows, const Matrix<float>& x, const std::vector<std::int32_t>& targets, moe::Pass pass);
  /// dx(N, d) of the objective, once after a training pass; fills the gradient of the weight.
  void backward(const Rows& rows, const Matrix<float>& dx) const;
  /// Sums of cross-entropy and log_sum² of each local grain, (grains, 2): chains in token order.
  std::vector<double> grain_losses(const Rows& rows) const;
  const HeadRows& last() const { return rows_; }

 private:
  Linear weight_;
  HeadRows rows_;
  Matrix<float> x_;
};

}  // namespace switchyard::model
