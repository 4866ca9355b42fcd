#include "moe/combine.hpp"

namespace switchyard::moe {

CombinePass::CombinePass(Arena& arena, const Config& config, const Layout& layout)
    : home(arena, "moe::combine::home", Account::exchange,
           layout.expert_parallel > 1 ? most_choices(config, layout) * config.model.width : 0) {}

void Combine::start(const Trip& trip, const Room<float>& rows, CombinePass& pass) const {
  pass.rows = rows.data();
  transfer_.leave_for_home(trip, rows.data(), pass.home, Journey::combine);
}

void Combine::finish(const Trip& trip, const Vector<float>& weight, const Matrix<float>& y, CombinePass& pass) const {
  pass.rows = transfer_.arrive_home(trip, pass.rows, pass.home);
  rows::combine(trip.plan.rows_of_tokens(), width_, weight.data(), pass.rows, y.data());
}

void Combine::start_backward(const Trip& trip, const Matrix<float>& dy, const Vector<float>& weight,
                             const Vector<float>& dweight, Room<float>& d_rows, const CombinePass& pass) const {
  float* send = transfer_.outgoing(trip, d_rows);
  rows::combine_backward(trip.plan.rows_of_tokens(), width_, weight.data(), dy.data(), pass.rows, dweight.data(), send);
  transfer_.leave_for_experts(trip, Journey::combine_backward);
}

}  // namespace switchyard::moe
