// The feed-forward network: up (and gate), activation, down, without biases. The experts of a layer are many of them,
// the dense network of a block and the shared experts are one that every token passes.
#pragma once
#include <string>

#include "nn/rows.hpp"
#include "tensor/activation.hpp"
#include "tensor/parameter.hpp"
#include "tensor/products/products.hpp"
#include "tensor/room.hpp"

namespace switchyard::nn {

/// What a feed-forward keeps from its forward to its backward pass.
struct FeedForwardPass {
  /// For `rows` (count at even loads, hidden width, element) of networks; counted as `account`.
  FeedForwardPass(Arena& arena, Account account, const Tensor& rows, Activation activation);
  RowRoom gate, up;  ///< (rows, hidden), after forward the slopes of the activation; no gate where there is none
  RowRoom hidden;    ///< (rows, hidden)
};

/// Holds parameters only.
class FeedForward {
 public:
  /// Of the parameters PREFIX.{gate,up,down}.weight: (E, hidden, d), (E, hidden, d), (E, d, hidden); without E where
  /// replicated.
  FeedForward(const ParameterSet& parameters, const std::string& prefix, Activation activation);
  /// `out`(rows, d) replaced by, or added to, the networks of x(rows, d).
  void forward(const Queue& queue, const NetworkRows& rows, const Tensor& x, const Result& out,
               FeedForwardPass& pass) const;
  /// `dx`(rows, d) replaced by, or added to, the gradient of x given d_out(rows, d); dx may be x. Replaces the
  /// gradients of all local networks in every node (+0 where no row). Once a forward: the hidden rows are overwritten.
  void backward(const Queue& queue, const NetworkRows& rows, const Tensor& x, const Tensor& d_out, const Result& dx,
                FeedForwardPass& pass) const;

 private:
  products::Weights weights(int id) const { return {parameters_.weight(id), parameters_[id].stride}; }
  void weight_gradient(const Queue& queue, int id, const NetworkRows& rows, const Tensor& dy, const Tensor& x) const;

  const ParameterSet& parameters_;
  Activation activation_;
  int gate_, up_, down_;  ///< parameter ids; gate −1 where the activation has none
};

}  // namespace switchyard::nn
