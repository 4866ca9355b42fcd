#include "nn/feed_forward.hpp"

namespace switchyard::nn {

FeedForwardPass::FeedForwardPass(Arena& arena, Account account, Index rows, Index width, Activation activation)
    : gate(arena, "nn::feed_forward::gate", account, activation::gated(activation) ? rows * width : 0),
      up(arena, "nn::feed_forward::up", account, rows * width),
      hidden(arena, "nn::feed_forward::hidden", account, rows * width) {}

FeedForward::FeedForward(const ParameterSet& parameters, const std::string& prefix, Activation activation)
    : parameters_(parameters),
      activation_(activation),
      gate_(activation::gated(activation) ? parameters.id(prefix + ".gate.weight") : -1),
      up_(parameters.id(prefix + ".up.weight")),
      down_(parameters.id(prefix + ".down.weight")),
      width_(parameters[up_].shape.back()),
      hidden_(parameters[down_].shape.back()) {}

blas::Groups FeedForward::groups(const NetworkRows& rows, int id) const {
  return {static_cast<int>(rows.offsets.size()) - 1, rows.offsets.data(), parameters_[id].stride};
}

void FeedForward::forward(const NetworkRows& rows, const float* x, float* out, blas::Write write,
                          FeedForwardPass& pass) const {
  const Index n = rows.offsets.back(), d = width_, f = hidden_;
  if (n == 0) return;
  pass.up.reserve(n * f);
  pass.hidden.reserve(n * f);
  if (gate_ >= 0) {
    pass.gate.reserve(n * f);
    blas::forward(groups(rows, gate_), f, d, x, parameters_.value(gate_), pass.gate.data());
  }
  blas::forward(groups(rows, up_), f, d, x, parameters_.value(up_), pass.up.data());
  activation::forward(activation_, n * f, gate_ < 0 ? nullptr : pass.gate.data(), pass.up.data(), pass.hidden.data());
  blas::forward(groups(rows, down_), d, f, pass.hidden.data(), parameters_.value(down_), out, write);
}

void FeedForward::backward(const NetworkRows& rows, const float* x, const float* d_out, float* dx, blas::Write write,
                           FeedForwardPass& pass) const {
  const Index n = rows.offsets.back(), d = width_, f = hidden_;
  weight_gradient(down_, rows, d_out, pass.hidden.data());
  float* d_up = pass.hidden.data();  // the hidden rows have been used for the last time
  float* d_gate = gate_ < 0 ? nullptr : pass.gate.data();
  if (n > 0) {
    blas::input_gradient(groups(rows, down_), d, f, d_out, parameters_.value(down_), d_up);
    activation::backward(activation_, n * f, d_gate, pass.up.data(), d_up, d_gate, d_up);
  }
  weight_gradient(up_, rows, d_up, x);
  if (gate_ >= 0) weight_gradient(gate_, rows, d_gate, x);
  if (n == 0) return;
  blas::input_gradient(groups(rows, up_), f, d, d_up, parameters_.value(up_), dx, write);
  if (gate_ >= 0)
    blas::input_gradient(groups(rows, gate_), f, d, d_gate, parameters_.value(gate_), dx, blas::Write::add);
}

void FeedForward::weight_gradient(int id, const NetworkRows& rows, const float* dy, const float* x) const {
  const int count = static_cast<int>(rows.offsets.size()) - 1;
  const Parameter& p = parameters_[id];
  const std::vector<TreeNode>& nodes = parameters_.nodes(p.placement);
  if (count == 0 || nodes.empty()) return;
  const std::size_t rank = p.shape.size();
  blas::weight_gradient({count, rows.pieces, rows.piece_offsets.data(), &nodes, p.stride}, p.shape[rank - 2],
                        p.shape[rank - 1], dy, x, parameters_.gradient(id), parameters_.gradient_stride(id));
}

}  // namespace switchyard::nn
