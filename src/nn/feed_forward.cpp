#include "nn/feed_forward.hpp"

#include "base/check.hpp"
#include "tensor/sum.hpp"

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
      down_(parameters.id(prefix + ".down.weight")),
      chunks_(parameters[down_].local_chunks) {}

/// sum = Σ over the chunks of what part(chunk, result) makes, of some of these, a power of two.
template <class Part>
void FeedForward::sum_chunks(const Queue& queue, const Range& chunks, const Result& sum, const Tensor& partial,
                             const Part& part) const {
  if (chunks.size() == 1) return part(chunks.first, sum);
  expect(sum.write == products::Write::replace, "a sum over chunks that replaces");
  const Index half = chunks.first + chunks.size() / 2, d = sum.rows.width;
  const Tensor right = partial.part(0, sum.rows.rows, 0, d);
  sum_chunks(queue, {chunks.first, half}, sum, partial, part);
  sum_chunks(queue, {half, chunks.last}, {right}, partial.part(0, sum.rows.rows, d, partial.width - d), part);
  add(queue, sum.rows, right, sum.rows);
}

void FeedForward::forward(const Queue& queue, const products::Segments& networks, const Tensor& x, const Result& out,
                          const FeedForwardRows& pass) const {
  if (networks.count == 0 || x.rows == 0) return;
  recompute(queue, networks, x, pass);
  sum_chunks(queue, {0, chunks_}, out, pass.partial, [&](Index c, const Result& y) {
    products::forward(queue, networks, chunk_of(pass.hidden, c), weights(down_, c), y.rows, y.write);
  });
}

void FeedForward::recompute(const Queue& queue, const products::Segments& networks, const Tensor& x,
                            const FeedForwardRows& pass) const {
  if (networks.count == 0 || x.rows == 0) return;
  if (chunks_ == 1)
    return products::forward_activated(queue, networks, x, up_weights(0), activation_, all_rows(pass, pass.hidden));
  for (Index c = 0; c < chunks_; ++c) {
    if (gate_ >= 0) products::forward(queue, networks, x, weights(gate_, c), chunk_of(pass.gate, c));
    products::forward(queue, networks, x, weights(up_, c), chunk_of(pass.up, c));
  }
  activation::forward(queue, activation_, pass.gate, pass.up, pass.hidden);
}

void FeedForward::input_gradient(const Queue& queue, const products::Segments& networks, const Tensor& d_out,
                                 const Result& dx, const FeedForwardRows& pass, const Tensor& d_hidden) const {
  if (networks.count == 0 || d_out.rows == 0) return;
  if (chunks_ == 1) {
    const products::HiddenRows rows = all_rows(pass, d_hidden);
    products::backward_activated(queue, networks, d_out, weights(down_, 0), activation_, rows);
    return products::input_gradient_activated(queue, networks, rows, up_weights(0), dx.rows, dx.write);
  }
  queue.join();  // `d_hidden` may be what a gradient of weights beside reads
  for (Index c = 0; c < chunks_; ++c)
    products::input_gradient(queue, networks, d_out, weights(down_, c), chunk_of(d_hidden, c));
  activation::backward(queue, activation_, pass.gate, pass.up, d_hidden);
  sum_chunks(queue, {0, chunks_}, dx, pass.partial, [&](Index c, const Result& sum) {
    products::input_gradient(queue, networks, chunk_of(pass.up, c), weights(up_, c), sum.rows, sum.write);
    if (gate_ >= 0)
      products::input_gradient(queue, networks, chunk_of(pass.gate, c), weights(gate_, c), sum.rows,
                               products::Write::add);
  });
}

void FeedForward::weight_gradients(const Queue& queue, const NetworkRows& rows, const Tensor& x, const Tensor& d_out,
                                   const FeedForwardRows& pass) const {
  weight_gradient(queue, down_, rows, d_out, pass.hidden);
  up_gradients(queue, rows, x, pass);
}

void FeedForward::backward(const Queue& queue, const NetworkRows& rows, const Tensor& x, const StreamGradient& d_out,
                           const Result& dx, const FeedForwardRows& pass) const {
  queue.beside({&d_out.lent},
               [&](const Queue& other) { weight_gradient(other, down_, rows, d_out.rounded, pass.hidden); });
  input_gradient(queue, rows.networks, d_out.rounded, dx, pass, pass.hidden);
  queue.beside({}, [&](const Queue& other) { up_gradients(other, rows, x, pass); });
}

void FeedForward::up_gradients(const Queue& queue, const NetworkRows& rows, const Tensor& x,
                               const FeedForwardRows& pass) const {
  weight_gradient(queue, up_, rows, pass.up, x);
  if (gate_ >= 0) weight_gradient(queue, gate_, rows, pass.gate, x);
}

/// Of the matrices of parameter `id`, whose chunks are columns of dy or of x.
void FeedForward::weight_gradient(const Queue& queue, int id, const NetworkRows& rows, const Tensor& dy,
                                  const Tensor& x) const {
  if (rows.networks.count == 0 || rows.nodes->empty()) return;
  const Index slot = parameters_.gradient_stride(id), unit = parameters_[id].stride;
  const bool of_input = parameters_[id].chunks_of_input;
  for (Index c = 0; c < chunks_; ++c)
    products::weight_gradient(queue, {rows.pieces, rows.networks.count, rows.pieces_of_one, rows.nodes, rows.usual},
                              of_input ? dy : chunk_of(dy, c), of_input ? chunk_of(x, c) : x,
                              {parameters_.gradient(id) + rows.sums.slot * slot + c * unit, slot, chunks_ * unit});
  parameters_.take_steps(queue, id, rows.sums.steps);
}

}  // namespace switchyard::nn
