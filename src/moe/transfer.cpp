#include "moe/transfer.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/clock.hpp"
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
  if (layout.expert_parallel == 1 || moe_layers(config).empty()) return {};
  return {most_expert_rows(config, layout), most_choices(config, layout)};
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

void TransferPass::poll() {
  if (flight && flight->poll() && travels.back().end == 0.0) travels.back().end = now();
}

Transfer::Transfer(const LayerContext& context, int block, int width)
    : exchange_(context.exchange),
      through_host_(exchange_.memory() == comm::Memory::host),
      timers_(context.timers),
      place_(context.groups.layout.place()),
      block_(block),
      width_(width) {}

Tensor Transfer::outgoing(const Trip& trip, const Tensor& rows) const {
  if (trip.plan.alone()) return rows;
  trip.buffers.send.reserve(trip.plan.send_rows() * row_bytes(trip));
  return rows_of(trip, trip.buffers.send, trip.plan.send_rows());
}

/// On the side where the exchange works.
std::byte* Transfer::side(const Buffer& rows) const { return through_host_ ? rows.host() : rows.device(); }

/// The rows of `send` leave.
void Transfer::start(const Queue& queue, const Trip& trip, const Leg& leg) const {
  expect(!trip.buffers.flight, "one journey at a time");
  const comm::Passage passage{
      trip.plan.itinerary(), leg.bound, row_bytes(trip), {trip.step, block_, static_cast<int>(leg.journey), trip.lane}};
  const comm::RowPlan& rows = passage.plan();
  leg.receive.reserve(rows.receive.back() * passage.row_bytes);
  if (through_host_) trip.buffers.send.to_host(queue, rows.send.back() * passage.row_bytes);
  queue.fence("switchyard::moe::transfer::start");  // the rows to send are written
  trip.buffers.travels.push_back({now(), 0.0, 0.0});
  trip.buffers.flight = exchange_.start(passage, side(trip.buffers.send), side(leg.receive));
  const std::int64_t stay = rows.send[place_ + 1] - rows.send[place_];
  timers_.bytes[static_cast<int>(phase_of(leg.journey))] += (rows.send.back() - stay) * passage.row_bytes;
}

void Transfer::finish(const Queue& queue, const Trip& trip, const comm::RowPlan& rows, const Buffer& receive) const {
  expect(trip.buffers.flight != nullptr, "a journey under way");
  trip.buffers.poll();
  Travel& travel = trip.buffers.travels.back();
  const double begin = now();
  trip.buffers.flight->finish();
  trip.buffers.flight.reset();
  if (travel.end == 0.0) travel = {travel.start, now(), now() - begin};
  if (through_host_) receive.to_device(queue, rows.receive.back() * row_bytes(trip));
}

void Transfer::leave_for_experts(const Queue& queue, const Trip& trip, Journey journey) const {
  if (!trip.plan.alone()) start(queue, trip, {comm::Bound::out, journey, trip.buffers.receive});
}

void Transfer::arrive_at_experts(const Queue& queue, const Trip& trip, const Tensor& rows) const {
  if (trip.plan.alone()) return;
  finish(queue, trip, trip.plan.itinerary().out, trip.buffers.receive);
  rows::gather(queue, trip.plan.received_of_row(), rows_of(trip, trip.buffers.receive, rows.rows), rows);
}

void Transfer::leave_for_home(const Queue& queue, const Trip& trip, const Tensor& rows, Buffer& home,
                              Journey journey) const {
  if (trip.plan.alone()) return;
  trip.buffers.send.reserve(rows.rows * row_bytes(trip));
  rows::scatter(queue, trip.plan.received_of_row(), rows, rows_of(trip, trip.buffers.send, rows.rows));
  start(queue, trip, {comm::Bound::home, journey, home});
}

void Transfer::arrive_home(const Queue& queue, const Trip& trip, const Buffer& home) const {
  if (!trip.plan.alone()) finish(queue, trip, trip.plan.itinerary().home, home);
}

}  // namespace switchyard::moe
