// Expert outputs home to their tokens: each token adds the rows of its choices, weighted, to the residual stream.
#pragma once
#include "moe/transfer.hpp"

namespace switchyard::moe {

class Combine {
 public:
  Combine(const LayerContext& context, Transfer& transfer, int width);
  /// y(N, d) += Σ over choices, in order, of weight(N, k) · row; rows(expert_rows, d) in expert order. Collective over
  /// the expert group. Keeps the rows until backward.
  void forward(const Plan& plan, const Vector<float>& rows, const Matrix<float>& weight, std::int64_t step,
               const Matrix<float>& y);
  /// dweight(N, k), +0 where dropped, and d_rows(expert_rows, d) from dy(N, d). Collective over the expert group.
  /// d_rows may be the rows given to forward.
  void backward(const Plan& plan, const Matrix<float>& dy, const Matrix<float>& weight, std::int64_t step,
                const Matrix<float>& dweight, Vector<float>& d_rows);

 private:
  Timers& timers_;
  Transfer& transfer_;
  int width_;
  Staged<float> home_;  ///< (send_rows, d) expert outputs at home
};

}  // namespace switchyard::moe
