// Tokens to their experts: every kept choice becomes one row at the rank that holds the expert.
#pragma once
#include "moe/transfer.hpp"

namespace switchyard::moe {

class Dispatch {
 public:
  Dispatch(const Transfer& transfer, int width) : transfer_(transfer), width_(width) {}
  /// Sends the rows of x(N, d) to the experts; makes room for them in `rows`. Collective over the expert group, as all
  /// are.
  void start(const Trip& trip, const Matrix<float>& x, Room<float>& rows) const;
  /// rows(expert_rows, d) in expert order.
  void finish(const Trip& trip, const Room<float>& rows) const { transfer_.arrive_at_experts(trip, rows); }
  /// Sends the gradients d_rows(expert_rows, d) of the rows home.
  void start_backward(const Trip& trip, const float* d_rows) const;
  /// dx(N, d) += the sum of the gradients of each token's rows, in choice order, given the d_rows that left.
  void finish_backward(const Trip& trip, const float* d_rows, const Matrix<float>& dx) const;

 private:
  const Transfer& transfer_;
  int width_;
};

}  // namespace switchyard::moe
