#include "moe/combine.hpp"

namespace switchyard::moe {
namespace {

Index rows_kept(const Config& config, const Layout& layout) {
  if (!outputs_kept_apart(config, layout)) return 0;
  return most_at_stop(stop_of_weights(config, layout), config, layout).choices;
}

}  // namespace

CombinePass::CombinePass(Arena& arena, const Config& config, const Layout& layout, Element branch)
    : home(arena, "moe::combine::home", Account::exchange,
           rows_kept(config, layout) * config.model.width * bytes_of(branch)) {}

void Combine::start(const Queue& queue, const Trip& trip, const Tensor& rows, CombinePass& pass) const {
  transfer_.leave_for_home(queue, trip, rows, pass.home, Journey::combine);
}

void Combine::finish(const Queue& queue, const Trip& trip, const Vector<float>& weight, const Result& result,
                     const CombinePass& pass) const {
  transfer_.arrive_home(queue, trip, pass.home, Journey::combine);
  rows::add_sums(queue, trip.plan.rows_of_tokens(), weight.data(), transfer_.at_home(trip, result.rows, pass.home),
                 result.y);
}

void Combine::start_backward(const Queue& queue, const Trip& trip, const Tensor& dy, const Weights& weights,
                             const Tensor& rows, const CombinePass& pass) const {
  const Tensor send = transfer_.outgoing(trip, rows);
  const rows::Choices choices = trip.plan.rows_of_tokens();
  rows::gradients(queue, choices,
                  {weights.value.data(), dy, transfer_.at_home(trip, rows, pass.home), send, weights.gradient.data()});
  transfer_.leave_for_experts(queue, trip, Journey::combine_backward);
}

}  // namespace switchyard::moe
