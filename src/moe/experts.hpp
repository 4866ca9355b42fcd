// Feed-forward networks over rows in expert order: the experts of a layer, or one dense network that every token
// passes.
#pragma once
#include <string>
#include <vector>

#include "tensor/activation.hpp"
#include "tensor/blas.hpp"
#include "tensor/parameter.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe {

/// What networks there are: `experts` of them (1 where dense), d → hidden → d without biases, two matrices or gated.
struct FeedForwardShape {
  std::string prefix;  ///< "blocks.1.moe.experts"
  Placement placement = Placement::expert;
  int experts = 1;
  int width = 0;
  int hidden = 0;
  Activation activation = Activation::gelu;
  double init_std = 0.02;       ///< of gate and up
  double init_std_down = 0.02;  ///< of down
};

/// Rows of the local networks. offsets[e] … offsets[e + 1] belong to network e; piece_offsets cuts each of them at the
/// grains of `nodes` (blas::GrainGroups). Host memory.
struct FeedForwardRows {
  const std::vector<Index>& offsets;
  const std::vector<Index>& piece_offsets;
  int pieces;
};

class FeedForward {
 public:
  /// Declares prefix.{gate,up,down}.weight: (E, hidden, d), (E, hidden, d), (E, d, hidden); without E where replicated.
  FeedForward(ParameterSet& parameters, const FeedForwardShape& shape);
  /// out(rows, d) replaced by, or added to, the networks of x(rows, d). Keeps the hidden rows until backward.
  void forward(const FeedForwardRows& rows, const float* x, float* out, blas::Write write);
  /// dx(rows, d) replaced by, or added to, the gradient of x given d_out(rows, d); dx may be x. Replaces the gradients
  /// of all local networks in every node (+0 where no row). Once a forward: the hidden rows are overwritten.
  void backward(const FeedForwardRows& rows, const float* x, const float* d_out, float* dx, blas::Write write);

 private:
  int declare(const char* matrix, Index out, Index in, double init_std) const;
  void weight_gradient(int id, const FeedForwardRows& rows, const float* dy, const float* x) const;

  ParameterSet& parameters_;
  FeedForwardShape shape_;
  int gate_ = -1, up_ = -1, down_ = -1;
  Vector<float> gate_rows_, up_rows_;  ///< (rows, hidden), after forward the slopes of the activation
  Vector<float> hidden_rows_;          ///< (rows, hidden)
};

}  // namespace switchyard::moe
