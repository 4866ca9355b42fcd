#include "nn/feed_forward.hpp"

namespace switchyard::nn {

FeedForwardPass::FeedForwardPass(Arena& arena, Account account, const Tensor& rows, Activation activation)
    : up(arena, "nn::feed_forward::up", account, rows), hidden(arena, "nn::feed_forward::hidden", account, rows) {
  if (activation::gated(activation)) gate = {arena, "nn::feed_forward::gate", account, rows};
}

FeedForward::FeedForward(const ParameterSet& parameters, const std::string& prefix, Activation activation)
    : parameters_(parameters),
      activation_(activation),
      gate_(activation::gated(activation) ? parameters.id(prefix + ".gate.weight") : -1),
      up_(parameters.id(prefix + ".up.weight")),
      down_(parameters.id(prefix + ".down.weight")) {}

void FeedForward::forward(const Queue& queue, const NetworkRows& rows, const Tensor& x, const Result& out,
                          FeedForwardPass& pass) const {
  const Index n = rows.networks.count > 0 ? x.rows : 0;
  if (n == 0) return;
  pass.up.reserve(n);
  pass.hidden.reserve(n);
  if (gate_ >= 0) {
    pass.gate.reserve(n);
    products::forward(queue, rows.networks, x, weights(gate_), pass.gate.rows(n));
  }
  products::forward(queue, rows.networks, x, weights(up_), pass.up.rows(n));
  activation::forward(queue, activation_, pass.gate.rows(n), pass.up.rows(n), pass.hidden.rows(n));
  products::forward(queue, rows.networks, pass.hidden.rows(n), weights(down_), out.rows, out.write);
}

void FeedForward::backward(const Queue& queue, const NetworkRows& rows, const Tensor& x, const Tensor& d_out,
                           const Result& dx, FeedForwardPass& pass) const {
  const Index n = x.rows;
  weight_gradient(queue, down_, rows, d_out, pass.hidden.rows(n));
  const Tensor d_up = pass.hidden.rows(n), d_gate = pass.gate.rows(n);  // hidden rows have been used for the last time
  if (n > 0) {
    products::input_gradient(queue, rows.networks, d_out, weights(down_), d_up);
    activation::backward(queue, activation_, d_gate, pass.up.rows(n), d_up, d_up);
  }
  weight_gradient(queue, up_, rows, d_up, x);
  if (gate_ >= 0) weight_gradient(queue, gate_, rows, d_gate, x);
  if (n == 0) return;
  products::input_gradient(queue, rows.networks, d_up, weights(up_), dx.rows, dx.write);
  if (gate_ >= 0) products::input_gradient(queue, rows.networks, d_gate, weights(gate_), dx.rows, products::Write::add);
}

void FeedForward::weight_gradient(const Queue& queue, int id, const NetworkRows& rows, const Tensor& dy,
                                  const Tensor& x) const {
  const Parameter& p = parameters_[id];
  const std::vector<TreeNode>& nodes = parameters_.nodes(p.placement);
  if (rows.networks.count == 0 || nodes.empty()) return;
  products::weight_gradient(queue, {rows.pieces, rows.networks.count, rows.pieces_of_one, &nodes}, dy, x,
                            {parameters_.gradient(id), parameters_.gradient_stride(id), p.stride});
}

}  // namespace switchyard::nn
