#include "moe/relay.hpp"

namespace switchyard::moe {

/// By token rows, but home by choice rows where sums do not go home.
Freight Relay::freight(const LegTrip& trip, Journey journey) const {
  const bool out = journey == Journey::dispatch || journey == Journey::combine_backward;
  return {out || trip.buffers.sums ? trip.crossing.tokens() : trip.crossing.choices(),
          out ? comm::Bound::out : comm::Bound::home,
          journey,
          width_ * bytes_of(element_of(trip, journey)),
          trip.step,
          trip.lane,
          &trip.crossing};
}

void Relay::plan(const Queue& queue, const LegTrip& trip, TokensHere tokens) const {
  trip.crossing.begin(queue, std::move(tokens), way_, trip.buffers.work, trip.step);
  link_.count(Phase::plan, [&](std::size_t r) { return trip.crossing.bytes_to(r); });
}

void Relay::leave(const Queue& queue, const LegTrip& trip, const Tensor& tokens, Journey journey) const {
  LegPass& leg = trip.buffers;
  rows::gather(queue, trip.crossing.token_of_row(), tokens,
               reserved(leg.send, tokens.element, trip.crossing.token_rows()));
  link_.start(queue, leg.under_way, freight(trip, journey), leg.send, leg.receive);
}

Tensor Relay::arrive(const Queue& queue, const LegTrip& trip, Journey journey) const {
  link_.finish(queue, trip.buffers.under_way, freight(trip, journey), trip.buffers.receive);
  return rows_of(trip.buffers.receive, element_of(trip, journey), trip.crossing.tokens_here());
}

void Relay::leave_for_home(const Queue& queue, const LegTrip& trip, const Homecoming& here, const float* weight,
                           Journey journey, Buffer& home) const {
  LegPass& leg = trip.buffers;
  const Crossing& crossing = trip.crossing;
  if (leg.sums)
    rows::sums(queue, here.choices, here.summed ? nullptr : weight, here.rows,
               reserved(leg.send, trip.branch, crossing.tokens_here()));
  else
    rows::gather(queue, here.choices.row, here.rows, reserved(leg.send, trip.branch, crossing.choices_here()));
  link_.start(queue, leg.under_way, freight(trip, journey), leg.send, home);
}

Homecoming Relay::arrive_home(const Queue& queue, const LegTrip& trip, Journey journey, const Buffer& home) const {
  const Crossing& crossing = trip.crossing;
  link_.finish(queue, trip.buffers.under_way, freight(trip, journey), home);
  if (trip.buffers.sums) return {crossing.rows_of_parts(), rows_of(home, trip.branch, crossing.token_rows()), true};
  return {crossing.rows_of_choices(), rows_of(home, trip.branch, crossing.choice_rows()), false};
}

void Relay::send_weights(const Queue& queue, const LegTrip& trip) const {
  LegPass& leg = trip.buffers;
  link_.start(queue, leg.d_weights, LegPass::weights(trip.crossing, trip.step, trip.lane), leg.d_weights_here,
              leg.d_weights_home);
}

void Relay::take_weights(const Queue& queue, const LegTrip& trip, const Vector<float>& d_weights) const {
  LegPass& leg = trip.buffers;
  link_.finish(queue, leg.d_weights, LegPass::weights(trip.crossing, trip.step, trip.lane), leg.d_weights_home);
  const rows::Choices choices = trip.crossing.rows_of_choices();
  const std::int32_t* row = choices.row;
  const auto* came = reinterpret_cast<const float*>(leg.d_weights_home.device());
  Kokkos::parallel_for(
      "switchyard::moe::relay::take_weights", queue.range(choices.capacity),
      KOKKOS_LAMBDA(Index i) { d_weights(i) = row[i] < 0 ? 0.0f : came[row[i]]; });
}

}  // namespace switchyard::moe
