// Tokens to their experts: every kept choice becomes one row at the rank that holds the expert.
#pragma once
#include "moe/transfer.hpp"

namespace switchyard::moe {

class Dispatch {
 public:
  Dispatch(const LayerContext& context, Transfer& transfer, int width);
  /// rows(expert_rows, d) in expert order from x(N, d). Collective over the expert group.
  void forward(const Plan& plan, const Matrix<float>& x, std::int64_t step, Vector<float>& rows);
  /// dx(N, d) += the sum of the gradients of each token's rows, in choice order. Collective over the expert group.
  void backward(const Plan& plan, const Vector<float>& d_rows, std::int64_t step, const Matrix<float>& dx);

 private:
  Timers& timers_;
  Transfer& transfer_;
  int width_;
  Staged<float> home_;  ///< (send_rows, d) gradients of rows, back at home
};

}  // namespace switchyard::moe
