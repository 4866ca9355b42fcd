// RMSNorm (Zhang & Sennrich 2019) in float: y = x / sqrt(mean(x²) + epsilon) · weight.
#pragma once
#include <string>

#include "nn/rows.hpp"
#include "tensor/arena.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::nn {

/// What a norm keeps from its forward to its backward pass.
struct NormPass {
  NormPass(Arena& arena, const Rows& rows) : scale(arena.vector<float>(rows.count)) {}
  Tensor x;             ///< (N, d) the caller's
  Vector<float> scale;  ///< (N) 1 / root mean square
};

/// Rows of d floats that a backward pass over `rows` needs for sums of the weight's gradient.
Index norm_partials(const Rows& rows, Index width);

/// Sums of a backward pass.
struct NormPartials {
  Matrix<float> rows;  ///< (norm_partials, d)
  mutable Lent lent;   ///< to the sum of the weight's gradient
};

/// Holds parameters only. From the residual stream, which is of floats, to a branch of any element.
class Norm {
 public:
  /// Of the parameter `name` (d).
  Norm(const ParameterSet& parameters, const std::string& name, double epsilon);
  /// y(N, d) from x(N, d), and x itself into `copy` unless that is empty. x is kept (not copied) until backward.
  void forward(const Queue& queue, const Tensor& x, const Tensor& y, NormPass& pass, const Tensor& copy = {}) const;
  /// Adds the gradient with respect to x to d, given dy(N, d); fills the gradient of the weight beside the queue.
  /// Overwrites `partials`.
  void backward(const Queue& queue, const Rows& rows, const Tensor& dy, const StreamGradient& d, const NormPass& pass,
                const NormPartials& partials) const;

 private:
  const ParameterSet* parameters_;
  int id_;
  float epsilon_;
};

}  // namespace switchyard::nn
