#include "moe/dispatch.hpp"

#include "moe/rows.hpp"
#include "tensor/region.hpp"

namespace switchyard::moe {

Dispatch::Dispatch(const LayerContext& context, Transfer& transfer, int width)
    : timers_(context.timers), transfer_(transfer), width_(width) {}

void Dispatch::forward(const Plan& plan, const Matrix<float>& x, std::int64_t step, Vector<float>& rows) {
  const Region region(timers_, Phase::dispatch);
  float* send = transfer_.outgoing(plan, rows);
  rows::gather(plan.send_rows(), width_, plan.choice_of_row(), plan.top_k(), x.data(), send);
  transfer_.to_experts(plan, rows, Journey::dispatch, step);
}

void Dispatch::backward(const Plan& plan, const Vector<float>& d_rows, std::int64_t step, const Matrix<float>& dx) {
  const Region region(timers_, Phase::dispatch);
  transfer_.to_home(plan, d_rows, home_, Journey::dispatch_backward, step);
  rows::sum({plan.tokens(), plan.top_k(), plan.row_of_choice()}, width_, home_.device.data(), dx.data());
}

}  // namespace switchyard::moe
