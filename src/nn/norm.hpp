// RMSNorm (Zhang & Sennrich 2019) in float: y = x / sqrt(mean(x²) + epsilon) · weight.
#pragma once
#include <string>

#include "nn/rows.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::nn {

class Norm {
 public:
  /// Of the parameter `name` (d).
  Norm(const ParameterSet& parameters, const std::string& name, double epsilon);
  /// Memory for `rows`; before the first pass.
  void allocate(const Rows& rows);
  /// y(N, d) from x(N, d), and x itself into `copy` unless that is empty. x is kept (not copied) until backward.
  void forward(const Rows& rows, const Matrix<float>& x, const Matrix<float>& y, const Matrix<float>& copy = {});
  /// Adds the gradient with respect to x to dx(N, d), given dy(N, d); fills the gradient of the weight.
  void backward(const Rows& rows, const Matrix<float>& dy, const Matrix<float>& dx) const;

  Index width() const { return width_; }

 private:
  const ParameterSet* parameters_;
  int id_;
  Index width_;
  float epsilon_;
  Matrix<float> x_;        // input of the last forward pass
  Vector<float> scale_;    // (N) 1 / root mean square
  Matrix<float> partial_;  // (local grains, d) sums of one grain
};

/// Tree sums of `partial` (local grains, n): node t of `rows` at out + t*stride. Overwrites `partial`.
void grain_tree(const Rows& rows, const Matrix<float>& partial, float* out, Index stride);

}  // namespace switchyard::nn
