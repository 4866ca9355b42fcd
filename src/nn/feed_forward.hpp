// The feed-forward network: up (and gate), activation, down, without biases. The experts of a layer are many of them,
// the dense network of a block and the shared experts are one that every token passes.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tensor/activation.hpp"
#include "tensor/blas.hpp"
#include "tensor/parameter.hpp"
#include "tensor/types.hpp"

namespace switchyard::nn {

/// Rows of the local networks. offsets[e] … offsets[e + 1] belong to network e; piece_offsets cuts each of them at the
/// grains of the parameters' nodes (blas::GrainGroups). Host memory.
struct NetworkRows {
  const std::vector<Index>& offsets;
  const std::vector<Index>& piece_offsets;
  int pieces;
};

/// Of one network that every token passes: all rows of a rank, cut at its grains.
class TokenRows {
 public:
  /// `grains`: first row of each grain, and past the last.
  void cut(std::vector<Index> grains) {
    offsets_ = {0, grains.back()};
    grains_ = std::move(grains);
  }
  NetworkRows rows() const { return {offsets_, grains_, static_cast<int>(grains_.size()) - 1}; }

 private:
  std::vector<Index> offsets_, grains_;
};

class FeedForward {
 public:
  /// Of the parameters PREFIX.{gate,up,down}.weight: (E, hidden, d), (E, hidden, d), (E, d, hidden); without E where
  /// replicated.
  FeedForward(const ParameterSet& parameters, const std::string& prefix, Activation activation);
  /// out(rows, d) replaced by, or added to, the networks of x(rows, d). Keeps the hidden rows until backward.
  void forward(const NetworkRows& rows, const float* x, float* out, blas::Write write);
  /// dx(rows, d) replaced by, or added to, the gradient of x given d_out(rows, d); dx may be x. Replaces the gradients
  /// of all local networks in every node (+0 where no row). Once a forward: the hidden rows are overwritten.
  void backward(const NetworkRows& rows, const float* x, const float* d_out, float* dx, blas::Write write);

 private:
  blas::Groups groups(const NetworkRows& rows, int id) const;
  void weight_gradient(int id, const NetworkRows& rows, const float* dy, const float* x) const;

  const ParameterSet& parameters_;
  Activation activation_;
  int gate_, up_, down_;  ///< parameter ids; gate −1 where the activation has none
  Index width_, hidden_;
  Vector<float> gate_rows_, up_rows_;  ///< (rows, hidden), after forward the slopes of the activation
  Vector<float> hidden_rows_;          ///< (rows, hidden)
};

}  // namespace switchyard::nn
