// Tokens to their experts: every kept choice becomes one row at the rank that holds the expert.
#pragma once
#include "moe/transfer.hpp"

namespace switchyard::moe {

class Dispatch {
 public:
  Dispatch(Transfer& transfer, int width);
  /// Sends the rows of x(N, d) to the experts; collective over the expert group, as all are.
  void start(const Plan& plan, const Matrix<float>& x, std::int64_t step, Vector<float>& rows);
  /// rows(expert_rows, d) in expert order.
  void finish(const Plan& plan, Vector<float>& rows) { transfer_.arrive_at_experts(plan, rows); }
  /// Sends the gradients d_rows(expert_rows, d) of the rows home.
  void start_backward(const Plan& plan, const Vector<float>& d_rows, std::int64_t step);
  /// dx(N, d) += the sum of the gradients of each token's rows, in choice order.
  void finish_backward(const Plan& plan, const Matrix<float>& dx);

 private:
  Transfer& transfer_;
  int width_;
  Staged<float> home_;  ///< (send_rows, d) gradients of rows, back at home
};

}  // namespace switchyard::moe
