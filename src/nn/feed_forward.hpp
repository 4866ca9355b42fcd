// The feed-forward network: up (and gate), activation, down, without biases. The experts of a layer are many of them,
// the dense network of a block and the shared experts are one that every token passes.
#pragma once
#include <bit>
#include <cstdint>
#include <string>

#include "nn/rows.hpp"
#include "tensor/activation.hpp"
#include "tensor/parameter.hpp"
#include "tensor/products/activated.hpp"
#include "tensor/room.hpp"

namespace switchyard::nn {

/// What is kept of some rows: gate and up(rows, hidden) are after forward the slopes of the activation, after the
/// gradient of the input gradients; no gate where the activation has none. hidden(rows, hidden).
struct FeedForwardRows {
  Tensor gate, up, hidden;
  Tensor partial = {};  ///< (rows, partial_width) overwritten: sums over some chunks of the hidden width
};

/// The memory of what a feed-forward keeps from its forward to its backward pass.
class FeedForwardPass {
 public:
  FeedForwardPass() = default;
  /// For `rows` (count at even loads, hidden width, element) of networks; counted as `account`.
  FeedForwardPass(Arena& arena, Account account, const Tensor& rows, Activation activation);
  /// Room for n rows, of which the first `keep` are kept.
  void reserve(Index n, Index keep = 0);
  FeedForwardRows rows(Index first, Index n) const {
    return {gate_.rows(first, n), up_.rows(first, n), hidden_.rows(first, n)};
  }

 private:
  RowRoom gate_, up_, hidden_;
};

/// What `chunks` of networks of width d (a power of two of them) need beside each other to be summed along their tree.
inline Index partial_width(Index d, Index chunks) {
  return d * (std::bit_width(static_cast<std::uint64_t>(chunks)) - 1);
}

/// Holds parameters only. Where its networks are in chunks of their hidden width, each is computed by itself, and what
/// is summed over the hidden width meets along the binary tree over the chunks; a rank that has some of these, aligned
/// ones, has one node of that tree.
class FeedForward {
 public:
  /// Of the parameters PREFIX.{gate,up,down}.weight: (E, hidden, d), (E, hidden, d), (E, d, hidden), or in chunks of
  /// `hidden` (config/architecture.hpp); without E where replicated.
  FeedForward(const ParameterSet& parameters, const std::string& prefix, Activation activation);
  /// `out`(rows, d) replaced by, or added to, the networks of x(rows, d); in chunks both results are only replaced.
  void forward(const Queue& queue, const products::Segments& networks, const Tensor& x, const Result& out,
               const FeedForwardRows& pass) const;
  /// What forward keeps of x(rows, d), to the bit, without its result.
  void recompute(const Queue& queue, const products::Segments& networks, const Tensor& x,
                 const FeedForwardRows& pass) const;
  /// `dx`(rows, d) replaced by, or added to, the gradient of x given d_out(rows, d). Once a forward. d_hidden(rows,
  /// hidden) is overwritten; it may be pass.hidden where the weight gradients are not wanted any more.
  void input_gradient(const Queue& queue, const products::Segments& networks, const Tensor& d_out, const Result& dx,
                      const FeedForwardRows& pass, const Tensor& d_hidden) const;
  /// After it: replaces the gradients of all local networks in every node (+0 where no row), given what it was given.
  void weight_gradients(const Queue& queue, const NetworkRows& rows, const Tensor& x, const Tensor& d_out,
                        const FeedForwardRows& pass) const;
  /// Both, without further memory; gradients of weights beside the queue.
  void backward(const Queue& queue, const NetworkRows& rows, const Tensor& x, const StreamGradient& d_out,
                const Result& dx, const FeedForwardRows& pass) const;

 private:
  products::Weights weights(int id, Index chunk) const {
    return {parameters_.weight(id, chunk), chunks_ * parameters_[id].stride};
  }
  products::UpWeights up_weights(Index c) const {
    return {gate_ >= 0 ? weights(gate_, c) : products::Weights{}, weights(up_, c)};
  }
  products::HiddenRows all_rows(const FeedForwardRows& pass, const Tensor& hidden) const {
    return {gate_ >= 0 ? pass.gate : Tensor{}, pass.up, hidden};
  }
  /// Columns of chunk c of rows(rows, hidden).
  Tensor chunk_of(const Tensor& rows, Index c) const {
    const Index width = rows.width / chunks_;
    return rows.part(0, rows.rows, c * width, width);
  }
  template <class Part>
  void sum_chunks(const Queue& queue, const Range& chunks, const Result& sum, const Tensor& partial,
                  const Part& part) const;
  void up_gradients(const Queue& queue, const NetworkRows& rows, const Tensor& x, const FeedForwardRows& pass) const;
  void weight_gradient(const Queue& queue, int id, const NetworkRows& rows, const Tensor& dy, const Tensor& x) const;

  const ParameterSet& parameters_;
  Activation activation_;
  int gate_, up_, down_;  ///< parameter ids; gate −1 where the activation has none
  Index chunks_;          ///< of each network that this rank has
};

}  // namespace switchyard::nn
