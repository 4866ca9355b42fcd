// Tokens to their experts: every kept choice becomes one row at the rank that holds the expert.
#pragma once
#include "moe/transfer.hpp"

namespace switchyard::moe {

class Dispatch {
 public:
  explicit Dispatch(const Transfer& transfer) : transfer_(transfer) {}
  /// Sends the rows of x(N, d) to the experts, where they will be `rows`. Collective over the expert-parallel group, as
  /// all are.
  void start(const Queue& queue, const Trip& trip, const Tensor& x, const Tensor& rows) const;
  /// rows(expert_rows, d) in expert order.
  void finish(const Queue& queue, const Trip& trip, const Tensor& rows) const {
    transfer_.arrive_at_experts(queue, trip, rows, Journey::dispatch);
  }
  /// Sends the gradients d_rows(expert_rows, d) of the rows home.
  void start_backward(const Queue& queue, const Trip& trip, const Tensor& d_rows) const;
  /// dx(N, d) += the sum of the gradients of each token's rows, in choice order, given the d_rows that left.
  void finish_backward(const Queue& queue, const Trip& trip, const Tensor& d_rows, const Tensor& dx) const;

 private:
  const Transfer& transfer_;
};

}  // namespace switchyard::moe
