// A weight matrix without bias: y = x·Wᵀ, stored (out, in).
#pragma once
#include <string>

#include "model/rows.hpp"
#include "tensor/blas.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::model {

class Linear {
 public:
  /// Declares `name` (out, in), normal with standard deviation `std`.
  Linear(ParameterSet& parameters, const std::string& name, Index out, Index in, double std);
  /// Shares a declared parameter (out, in), as a tied head does.
  Linear(ParameterSet& parameters, int id);
  /// y(N, out) = x(N, in)·Wᵀ, or added to y.
  void forward(const Rows& rows, const Matrix<float>& x, const Matrix<float>& y,
               blas::Write write = blas::Write::replace) const;
  /// dx(N, in) = dy(N, out)·W, or added to dx.
  void input_gradient(const Rows& rows, const Matrix<float>& dy, const Matrix<float>& dx,
                      blas::Write write = blas::Write::replace) const;
  /// Gradient of W, one tree sum a node.
  void weight_gradient(const Rows& rows, const Matrix<float>& dy, const Matrix<float>& x) const;
  /// dw(out, in) of the rows of one grain: dy(rows, out)ᵀ·x(rows, in).
  void grain_gradient(const Matrix<float>& dy, const Matrix<float>& x, float* dw) const;
  /// Gradient of W of local node `node`.
  float* gradient(int node) const;
  Index out() const { return out_; }
  Index in() const { return in_; }

 private:
  ParameterSet* parameters_;
  int id_;
  Index out_, in_;
};

}  // namespace switchyard::model
