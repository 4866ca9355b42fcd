#include "moe/transfer.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "moe/rows.hpp"

namespace switchyard::moe {
namespace {

Phase phase_of(Journey journey) {
  return journey == Journey::dispatch || journey == Journey::dispatch_backward ? Phase::dispatch : Phase::combine;
}

/// Rows of the largest layer at even loads: that arrive at the experts of a rank, and that leave its tokens.
struct RowCounts {
  Index experts = 0, home = 0;
};

RowCounts most_rows(const Config& config, const Layout& layout) {
  RowCounts most;
  for (int b = 0; b < config.model.blocks && layout.expert_parallel > 1; ++b)
    if (const int experts = config.block_experts(b); experts > 0)
      most = {std::max(most.experts, even_expert_rows(config, layout, experts)), most_choices(config, layout)};
  return most;
}

}  // namespace

TransferPass::TransferPass(Arena& arena, const Config& config, const Layout& layout) {
  const RowCounts rows = most_rows(config, layout);
  const auto buffer = [&](const char* label, Index n) {
    return Staged<float>(arena, label, Account::exchange, n * config.model.width);
  };
  send = buffer("moe::transfer::send", std::max(rows.experts, rows.home));
  receive = buffer("moe::transfer::receive", rows.experts);
  home = buffer("moe::transfer::home", rows.home);
}

Transfer::Transfer(const LayerContext& context, int block, int width)
    : exchange_(context.exchange),
      through_host_(exchange_.memory() == comm::Memory::host),
      timers_(context.timers),
      place_(context.groups.layout.place()),
      block_(block),
      width_(width) {}

float* Transfer::outgoing(const Trip& trip, Room<float>& rows) const {
  rows.reserve(trip.plan.expert_rows() * width_);
  if (trip.plan.alone()) return rows.data();
  trip.buffers.send.reserve(trip.plan.send_rows() * width_);
  return trip.buffers.send.device();
}

/// On the side where the exchange works.
float* Transfer::side(const Staged<float>& rows) const { return through_host_ ? rows.host() : rows.device(); }

/// The rows of `send` leave; they arrive in `receive`.
void Transfer::start(const Trip& trip, comm::Bound bound, Staged<float>& receive, Journey journey) const {
  expect(!trip.buffers.flight, "one journey at a time");
  const comm::Passage passage{trip.plan.itinerary(),
                              bound,
                              width_ * std::int64_t{sizeof(float)},
                              {trip.step, block_, static_cast<int>(journey)}};
  const comm::RowPlan& rows = passage.plan();
  receive.reserve(rows.receive.back() * width_);
  Kokkos::fence("switchyard::moe::transfer::start");  // the rows to send are written
  if (through_host_) trip.buffers.send.to_host(rows.send.back() * width_);
  trip.buffers.flight = exchange_.start(passage, side(trip.buffers.send), side(receive));
  const std::int64_t stay = rows.send[place_ + 1] - rows.send[place_];
  timers_.bytes[static_cast<int>(phase_of(journey))] += (rows.send.back() - stay) * passage.row_bytes;
}

void Transfer::finish(const Trip& trip, const comm::RowPlan& rows, const Staged<float>& receive) const {
  expect(trip.buffers.flight != nullptr, "a journey under way");
  trip.buffers.flight->finish();
  trip.buffers.flight.reset();
  if (through_host_) receive.to_device(rows.receive.back() * width_);
}

void Transfer::leave_for_experts(const Trip& trip, Journey journey) const {
  if (!trip.plan.alone()) start(trip, comm::Bound::out, trip.buffers.receive, journey);
}

void Transfer::arrive_at_experts(const Trip& trip, const Room<float>& rows) const {
  if (trip.plan.alone()) return;
  finish(trip, trip.plan.itinerary().out, trip.buffers.receive);
  rows::gather(trip.plan.expert_rows(), width_, trip.plan.received_of_row(), trip.buffers.receive.device(),
               rows.data());
}

void Transfer::leave_for_home(const Trip& trip, const float* rows, Staged<float>& home, Journey journey) const {
  if (trip.plan.alone()) return;
  trip.buffers.send.reserve(trip.plan.expert_rows() * width_);
  rows::scatter(trip.plan.expert_rows(), width_, trip.plan.received_of_row(), rows, trip.buffers.send.device());
  start(trip, comm::Bound::home, home, journey);
}

const float* Transfer::arrive_home(const Trip& trip, const float* rows, const Staged<float>& home) const {
  if (trip.plan.alone()) return rows;
  finish(trip, trip.plan.itinerary().home, home);
  return home.device();
}

}  // namespace switchyard::moe
