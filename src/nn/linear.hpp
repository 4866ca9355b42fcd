// A weight matrix without bias: y = x·Wᵀ, stored (out, in).
#pragma once
#include <string>
#include <vector>

#include "nn/rows.hpp"
#include "tensor/parameter.hpp"
#include "tensor/products/products.hpp"

namespace switchyard::nn {

class Linear {
 public:
  /// Of the parameter `name` (out, in).
  Linear(const ParameterSet& parameters, const std::string& name);
  /// Of several whose rows together are its own: they must lie one after another in their slab.
  Linear(const ParameterSet& parameters, const std::vector<std::string>& names);
  /// y(N, out) = x(N, in)·Wᵀ, or added to y.
  void forward(const Queue& queue, const Tensor& x, const Tensor& y,
               products::Write write = products::Write::replace) const;
  /// dx(N, in) = dy(N, out)·W, or added to dx.
  void input_gradient(const Queue& queue, const Tensor& dy, const Tensor& dx,
                      products::Write write = products::Write::replace) const;
  /// Gradient of W over `rows`, one tree sum a node.
  void weight_gradient(const Queue& queue, const Rows& rows, const Tensor& dy, const Tensor& x) const;
  /// dw(out, in) of the rows of one grain: dy(rows, out)ᵀ·x(rows, in).
  void grain_gradient(const Queue& queue, const Tensor& dy, const Tensor& x, float* dw) const;
  /// Gradient of W in slot `slot`, and what follows after those of a lane are filled.
  float* gradient(int slot) const;
  void take_steps(const Queue& queue, const Rows& rows) const;
  Tensor weight() const;  ///< (out, in)
  Index out() const { return out_; }
  Index in() const { return in_; }

 private:
  const ParameterSet* parameters_;
  std::vector<int> ids_;
  Index out_ = 0, in_ = 0;
};

}  // namespace switchyard::nn
