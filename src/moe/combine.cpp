#include "moe/combine.hpp"

#include "moe/rows.hpp"

namespace switchyard::moe {

Combine::Combine(Transfer& transfer, int width) : transfer_(transfer), width_(width) {}

void Combine::start(const Plan& plan, const Vector<float>& rows, std::int64_t step) {
  transfer_.leave_for_home(plan, rows, home_, Journey::combine, step);
}

void Combine::finish(const Plan& plan, const Matrix<float>& weight, const Matrix<float>& y) {
  transfer_.arrive_home(plan, home_);
  rows::combine({plan.tokens(), plan.top_k(), plan.row_of_choice()}, width_, weight.data(), home_.device.data(),
                y.data());
}

void Combine::start_backward(const Plan& plan, const Matrix<float>& dy, const Matrix<float>& weight, std::int64_t step,
                             const Matrix<float>& dweight, Vector<float>& d_rows) {
  float* send = transfer_.outgoing(plan, d_rows);
  rows::combine_backward({plan.tokens(), plan.top_k(), plan.row_of_choice()}, width_, weight.data(), dy.data(),
                         home_.device.data(), dweight.data(), send);
  transfer_.leave_for_experts(plan, Journey::combine_backward, step);
}

}  // namespace switchyard::moe
