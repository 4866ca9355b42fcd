// Expert outputs home to their tokens: each token adds the rows of its choices, weighted, to the residual stream.
#pragma once
#include "moe/transfer.hpp"

namespace switchyard::moe {

class Combine {
 public:
  Combine(Transfer& transfer, int width);
  /// Sends rows(expert_rows, d), in expert order, home; collective over the expert group, as all are.
  void start(const Plan& plan, const Vector<float>& rows, std::int64_t step);
  /// y(N, d) += Σ over choices, in order, of weight(N, k) · row. Keeps the rows until backward.
  void finish(const Plan& plan, const Matrix<float>& weight, const Matrix<float>& y);
  /// dweight(N, k), +0 where dropped, from dy(N, d); and sends the gradients of the rows back to the experts. d_rows,
  /// where they will be, may be the rows given to start.
  void start_backward(const Plan& plan, const Matrix<float>& dy, const Matrix<float>& weight, std::int64_t step,
                      const Matrix<float>& dweight, Vector<float>& d_rows);
  /// d_rows(expert_rows, d) in expert order.
  void finish_backward(const Plan& plan, Vector<float>& d_rows) { transfer_.arrive_at_experts(plan, d_rows); }

 private:
  Transfer& transfer_;
  int width_;
  Staged<float> home_;  ///< (send_rows, d) expert outputs at home
};

}  // namespace switchyard::moe
