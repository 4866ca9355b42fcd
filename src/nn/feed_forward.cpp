#include "nn/feed_forward.hpp"

namespace switchyard::nn {

FeedForwardPass::FeedForwardPass(Arena& arena, Account account, const Tensor& rows, Activation activation)
    : up_(arena, "nn::feed_forward::up", account, rows), hidden_(arena, "nn::feed_forward::hidden", account, rows) {
  if (activation::gated(activation)) gate_ = {arena, "nn::feed_forward::gate", account, rows};
}

void FeedForwardPass::reserve(Index n, Index keep) {
  if (gate_.width() > 0) gate_.reserve(n, keep);
  up_.reserve(n, keep);
  hidden_.reserve(n, keep);
}

FeedForward::FeedForward(const ParameterSet& parameters, const std::string& prefix, Activation activation)
    : parameters_(parameters),
      activation_(activation),
      gate_(activation::gated(activation) ? parameters.id(prefix + ".gate.weight") : -1),
      up_(parameters.id(prefix + ".up.weight")),
      down_(parameters.id(prefix + ".down.weight")) {}

void FeedForward::forward(const Queue& queue, const products::Segments& networks, const Tensor& x, const Result& out,
                          const FeedForwardRows& pass) const {
  if (networks.count == 0 || x.rows == 0) return;
  recompute(queue, networks, x, pass);
  products::forward(queue, networks, pass.hidden, weights(down_), out.rows, out.write);
}

void FeedForward::recompute(const Queue& queue, const products::Segments& networks, const Tensor& x,
                            const FeedForwardRows& pass) const {
  if (networks.count == 0 || x.rows == 0) return;
  if (gate_ >= 0) products::forward(queue, networks, x, weights(gate_), pass.gate);
  products::forward(queue, networks, x, weights(up_), pass.up);
  activation::forward(queue, activation_, pass.gate, pass.up, pass.hidden);
}

void FeedForward::input_gradient(const Queue& queue, const products::Segments& networks, const Tensor& d_out,
                                 const Result& dx, const FeedForwardRows& pass, const Tensor& d_hidden) const {
  if (networks.count == 0 || d_out.rows == 0) return;
  products::input_gradient(queue, networks, d_out, weights(down_), d_hidden);
  activation::backward(queue, activation_, pass.gate, pass.up, d_hidden);
  products::input_gradient(queue, networks, pass.up, weights(up_), dx.rows, dx.write);
  if (gate_ >= 0) products::input_gradient(queue, networks, pass.gate, weights(gate_), dx.rows, products::Write::add);
}

void FeedForward::weight_gradients(const Queue& queue, const NetworkRows& rows, const Tensor& x, const Tensor& d_out,
                                   const FeedForwardRows& pass) const {
  weight_gradient(queue, down_, rows, d_out, pass.hidden);
  up_gradients(queue, rows, x, pass);
}

void FeedForward::backward(const Queue& queue, const NetworkRows& rows, const Tensor& x, const Tensor& d_out,
                           const Result& dx, const FeedForwardRows& pass) const {
  weight_gradient(queue, down_, rows, d_out, pass.hidden);
  input_gradient(queue, rows.networks, d_out, dx, pass, pass.hidden);
  up_gradients(queue, rows, x, pass);
}

void FeedForward::up_gradients(const Queue& queue, const NetworkRows& rows, const Tensor& x,
                               const FeedForwardRows& pass) const {
  weight_gradient(queue, up_, rows, pass.up, x);
  if (gate_ >= 0) weight_gradient(queue, gate_, rows, pass.gate, x);
}

void FeedForward::weight_gradient(const Queue& queue, int id, const NetworkRows& rows, const Tensor& dy,
                                  const Tensor& x) const {
  if (rows.networks.count == 0 || rows.nodes->empty()) return;
  const Index slot = parameters_.gradient_stride(id);
  products::weight_gradient(queue, {rows.pieces, rows.networks.count, rows.pieces_of_one, rows.nodes}, dy, x,
                            {parameters_.gradient(id) + rows.sums.slot * slot, slot, parameters_[id].stride});
  parameters_.take_steps(queue, id, rows.sums.steps);
}

}  // namespace switchyard::nn
