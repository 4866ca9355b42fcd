#include "moe/dispatch.hpp"

#include "moe/rows.hpp"

namespace switchyard::moe {

Dispatch::Dispatch(Transfer& transfer, int width) : transfer_(transfer), width_(width) {}

void Dispatch::start(const Plan& plan, const Matrix<float>& x, std::int64_t step, Vector<float>& rows) {
  float* send = transfer_.outgoing(plan, rows);
  rows::gather(plan.send_rows(), width_, plan.choice_of_row(), plan.top_k(), x.data(), send);
  transfer_.leave_for_experts(plan, Journey::dispatch, step);
}

void Dispatch::start_backward(const Plan& plan, const Vector<float>& d_rows, std::int64_t step) {
  transfer_.leave_for_home(plan, d_rows, home_, Journey::dispatch_backward, step);
}

void Dispatch::finish_backward(const Plan& plan, const Matrix<float>& dx) {
  transfer_.arrive_home(plan, home_);
  rows::sum({plan.tokens(), plan.top_k(), plan.row_of_choice()}, width_, home_.device.data(), dx.data());
}

}  // namespace switchyard::moe
