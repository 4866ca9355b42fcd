#include "moe/combine.hpp"

#include "moe/rows.hpp"
#include "tensor/region.hpp"

namespace switchyard::moe {

Combine::Combine(const LayerContext& context, Transfer& transfer, int width)
    : timers_(context.timers), transfer_(transfer), width_(width) {}

void Combine::forward(const Plan& plan, const Vector<float>& rows, const Matrix<float>& weight, std::int64_t step,
                      const Matrix<float>& y) {
  const Region region(timers_, Phase::combine);
  transfer_.to_home(plan, rows, home_, Journey::combine, step);
  rows::combine({plan.tokens(), plan.top_k(), plan.row_of_choice()}, width_, weight.data(), home_.device.data(),
                y.data());
}

void Combine::backward(const Plan& plan, const Matrix<float>& dy, const Matrix<float>& weight, std::int64_t step,
                       const Matrix<float>& dweight, Vector<float>& d_rows) {
  const Region region(timers_, Phase::combine);
  float* send = transfer_.outgoing(plan, d_rows);
  rows::combine_backward({plan.tokens(), plan.top_k(), plan.row_of_choice()}, width_, weight.data(), dy.data(),
                         home_.device.data(), dweight.data(), send);
  transfer_.to_experts(plan, d_rows, Journey::combine_backward, step);
}

}  // namespace switchyard::moe
