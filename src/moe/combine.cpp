#include "moe/combine.hpp"

namespace switchyard::moe {

CombinePass::CombinePass(Arena& arena, const Config& config, const Layout& layout, Element branch)
    : home(arena, "moe::combine::home", Account::exchange,
           layout.expert_parallel > 1 ? most_choices(config, layout) * config.model.width * bytes_of(branch)
                                      : Index{0}) {}

void Combine::start(const Queue& queue, const Trip& trip, const Tensor& rows, CombinePass& pass) const {
  transfer_.leave_for_home(queue, trip, rows, pass.home, Journey::combine);
}

void Combine::finish(const Queue& queue, const Trip& trip, const Vector<float>& weight, const Result& result,
                     const CombinePass& pass) const {
  transfer_.arrive_home(queue, trip, pass.home);
  rows::combine(queue, trip.plan.rows_of_tokens(), weight.data(), transfer_.at_home(trip, result.rows, pass.home),
                result.y);
}

void Combine::start_backward(const Queue& queue, const Trip& trip, const Tensor& dy, const Weights& weights,
                             const Tensor& rows, const CombinePass& pass) const {
  const Tensor send = transfer_.outgoing(trip, rows);
  rows::combine_backward(queue, trip.plan.rows_of_tokens(), weights.value.data(), dy, weights.gradient.data(),
                         {transfer_.at_home(trip, rows, pass.home), send});
  transfer_.leave_for_experts(queue, trip, Journey::combine_backward);
}

}  // namespace switchyard::moe
