#include "moe/transfer.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "config/moe_layers.hpp"
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
  RowCounts max;
  if (layout.expert_parallel == 1) return max;
  for (const MoeLayer& layer : moe_layers(config))
    max = {std::max(max.experts, even_expert_rows(config, layout, layer.experts)), most_choices(config, layout)};
  return max;
}

}  // namespace

TransferPass::TransferPass(Arena& arena, const Config& config, const Layout& layout, Element branch) : element(branch) {
  const RowCounts rows = most_rows(config, layout);
  const auto buffer = [&](const char* label, Index n) {
    return Buffer(arena, label, Account::exchange, n * config.model.width * bytes_of(branch));
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

Tensor Transfer::outgoing(const Trip& trip, RowRoom& rows) const {
  rows.reserve(trip.plan.expert_rows());
  if (trip.plan.alone()) return rows.rows(trip.plan.send_rows());
  trip.buffers.send.reserve(trip.plan.send_rows() * row_bytes(trip));
  return rows_of(trip, trip.buffers.send, trip.plan.send_rows());
}

/// On the side where the exchange works.
std::byte* Transfer::side(const Buffer& rows) const { return through_host_ ? rows.host() : rows.device(); }

/// The rows of `send` leave.
void Transfer::start(const Queue& queue, const Trip& trip, const Leg& leg) const {
  expect(!trip.buffers.flight, "one journey at a time");
  const comm::Passage passage{
      trip.plan.itinerary(), leg.bound, row_bytes(trip), {trip.step, block_, static_cast<int>(leg.journey)}};
  const comm::RowPlan& rows = passage.plan();
  leg.receive.reserve(rows.receive.back() * passage.row_bytes);
  if (through_host_) trip.buffers.send.to_host(queue, rows.send.back() * passage.row_bytes);
  queue.fence("switchyard::moe::transfer::start");  // the rows to send are written
  trip.buffers.flight = exchange_.start(passage, side(trip.buffers.send), side(leg.receive));
  const std::int64_t stay = rows.send[place_ + 1] - rows.send[place_];
  timers_.bytes[static_cast<int>(phase_of(leg.journey))] += (rows.send.back() - stay) * passage.row_bytes;
}

void Transfer::finish(const Queue& queue, const Trip& trip, const comm::RowPlan& rows, const Buffer& receive) const {
  expect(trip.buffers.flight != nullptr, "a journey under way");
  trip.buffers.flight->finish();
  trip.buffers.flight.reset();
  if (through_host_) receive.to_device(queue, rows.receive.back() * row_bytes(trip));
}

void Transfer::leave_for_experts(const Queue& queue, const Trip& trip, Journey journey) const {
  if (!trip.plan.alone()) start(queue, trip, {comm::Bound::out, journey, trip.buffers.receive});
}

void Transfer::arrive_at_experts(const Queue& queue, const Trip& trip, const RowRoom& rows) const {
  if (trip.plan.alone()) return;
  finish(queue, trip, trip.plan.itinerary().out, trip.buffers.receive);
  const Index n = trip.plan.expert_rows();
  rows::gather(queue, trip.plan.received_of_row(), rows_of(trip, trip.buffers.receive, n), rows.rows(n));
}

void Transfer::leave_for_home(const Queue& queue, const Trip& trip, const Tensor& rows, Buffer& home,
                              Journey journey) const {
  if (trip.plan.alone()) return;
  trip.buffers.send.reserve(rows.rows * row_bytes(trip));
  rows::scatter(queue, trip.plan.received_of_row(), rows, rows_of(trip, trip.buffers.send, rows.rows));
  start(queue, trip, {comm::Bound::home, journey, home});
}

Tensor Transfer::arrive_home(const Queue& queue, const Trip& trip, const Tensor& rows, const Buffer& home) const {
  if (trip.plan.alone()) return rows;
  finish(queue, trip, trip.plan.itinerary().home, home);
  return rows_of(trip, home, trip.plan.send_rows());
}

}  // namespace switchyard::moe
