// The dense feed-forward of a block: up (and gate), activation, down.
#pragma once
#include <optional>
#include <string>

#include "model/linear.hpp"

namespace switchyard::model {

/// Memory of one backward pass that all dense blocks share; `up` takes the gradient of the hidden layer as well.
struct FeedForwardScratch {
  Matrix<float> up, gate;  ///< (N, hidden); gate is empty unless the activation has one
};

class FeedForward {
 public:
  /// Declares PREFIX.{gate,up,down}.weight.
  FeedForward(ParameterSet& parameters, const std::string& prefix, const Config& config);
  /// Memory for `rows`; before the first pass.
  void allocate(const Rows& rows);
  /// y(N, d) += f(x(N, d)). x is kept (not copied) until backward.
  void forward(const Rows& rows, const Matrix<float>& x, const Matrix<float>& y);
  /// dx(N, d) from dy(N, d) of y's increment; fills the gradients of the weights.
  void backward(const Rows& rows, const FeedForwardScratch& scratch, const Matrix<float>& dy,
                const Matrix<float>& dx) const;

 private:
  Activation activation_;
  std::optional<Linear> gate_;
  Linear up_, down_;
  Matrix<float> x_, hidden_gate_, hidden_up_, hidden_;
};

}  // namespace switchyard::model
