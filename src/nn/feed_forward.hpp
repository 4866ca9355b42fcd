// The feed-forward network: up (and gate), activation, down, without biases. The experts of a layer are many of them,
// the dense network of a block and the shared experts are one that every token passes.
#pragma once
#include <string>

#include "nn/rows.hpp"
#include "tensor/activation.hpp"
#include "tensor/blas.hpp"
#include "tensor/parameter.hpp"
#include "tensor/room.hpp"

namespace switchyard::nn {

/// What a feed-forward keeps from its forward to its backward pass.
struct FeedForwardPass {
  /// For `rows` at even loads of networks of `hidden` width; counted as `account`.
  FeedForwardPass(Arena& arena, Account account, Index rows, Index hidden, Activation activation);
  Room<float> gate, up;  ///< (rows, hidden), after forward the slopes of the activation; no gate where there is none
  Room<float> hidden;    ///< (rows, hidden)
};

/// Holds parameters only.
class FeedForward {
 public:
  /// Of the parameters PREFIX.{gate,up,down}.weight: (E, hidden, d), (E, hidden, d), (E, d, hidden); without E where
  /// replicated.
  FeedForward(const ParameterSet& parameters, const std::string& prefix, Activation activation);
  /// out(rows, d) replaced by, or added to, the networks of x(rows, d).
  void forward(const NetworkRows& rows, const float* x, float* out, blas::Write write, FeedForwardPass& pass) const;
  /// dx(rows, d) replaced by, or added to, the gradient of x given d_out(rows, d); dx may be x. Replaces the gradients
  /// of all local networks in every node (+0 where no row). Once a forward: the hidden rows are overwritten.
  void backward(const NetworkRows& rows, const float* x, const float* d_out, float* dx, blas::Write write,
                FeedForwardPass& pass) const;

 private:
  blas::Groups groups(const NetworkRows& rows, int id) const;
  void weight_gradient(int id, const NetworkRows& rows, const float* dy, const float* x) const;

  const ParameterSet& parameters_;
  Activation activation_;
  int gate_, up_, down_;  ///< parameter ids; gate −1 where the activation has none
  Index width_, hidden_;
};

}  // namespace switchyard::nn
