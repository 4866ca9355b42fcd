#include "moe/transfer.hpp"

#include "base/check.hpp"
#include "moe/rows.hpp"

namespace switchyard::moe {
namespace {

Phase phase_of(Journey journey) {
  return journey == Journey::dispatch || journey == Journey::dispatch_backward ? Phase::dispatch : Phase::combine;
}

}  // namespace

Transfer::Transfer(const LayerContext& context, int block, int width)
    : exchange_(context.exchange),
      through_host_(exchange_.memory() == comm::Memory::host),
      timers_(context.timers),
      place_(context.groups.layout.place()),
      block_(block),
      width_(width) {}

float* Transfer::outgoing(const Plan& plan, Vector<float>& rows) {
  reserve(rows, "moe::transfer::rows", plan.expert_rows() * width_);
  if (plan.alone()) return rows.data();
  send_.reserve("moe::transfer::send", plan.send_rows() * width_);
  return send_.device.data();
}

float* Transfer::side(const Staged<float>& rows) const { return through_host_ ? rows.host.data() : rows.device.data(); }

/// The rows of `send_` leave; they arrive in `receive`, on the side where the exchange works.
void Transfer::start(const Plan& plan, comm::Bound bound, Staged<float>& receive, Journey journey, std::int64_t step) {
  expect(!flight_, "one journey at a time");
  const comm::Passage passage{
      plan.itinerary(), bound, width_ * std::int64_t{sizeof(float)}, {step, block_, static_cast<int>(journey)}};
  const comm::RowPlan& rows = passage.plan();
  receive.reserve("moe::transfer::receive", rows.receive.back() * width_);
  Kokkos::fence("switchyard::moe::transfer::start");  // the rows to send are written
  if (through_host_) send_.to_host(rows.send.back() * width_);
  flight_ = exchange_.start(passage, side(send_), side(receive));
  const std::int64_t stay = rows.send[place_ + 1] - rows.send[place_];
  timers_.bytes[static_cast<int>(phase_of(journey))] += (rows.send.back() - stay) * passage.row_bytes;
}

void Transfer::finish(const comm::RowPlan& rows, Staged<float>& receive) {
  expect(flight_ != nullptr, "a journey under way");
  flight_->finish();
  flight_.reset();
  if (through_host_) receive.to_device(rows.receive.back() * width_);
}

void Transfer::leave_for_experts(const Plan& plan, Journey journey, std::int64_t step) {
  if (!plan.alone()) start(plan, comm::Bound::out, receive_, journey, step);
}

void Transfer::arrive_at_experts(const Plan& plan, Vector<float>& rows) {
  if (plan.alone()) return;
  finish(plan.itinerary().out, receive_);
  rows::gather(plan.expert_rows(), width_, plan.received_of_row(), 1, receive_.device.data(), rows.data());
}

void Transfer::leave_for_home(const Plan& plan, const Vector<float>& rows, Staged<float>& home, Journey journey,
                              std::int64_t step) {
  if (plan.alone()) {
    home.device = rows;
    return;
  }
  send_.reserve("moe::transfer::send", plan.expert_rows() * width_);
  rows::scatter(plan.expert_rows(), width_, plan.received_of_row(), rows.data(), send_.device.data());
  start(plan, comm::Bound::home, home, journey, step);
}

void Transfer::arrive_home(const Plan& plan, Staged<float>& home) {
  if (!plan.alone()) finish(plan.itinerary().home, home);
}

}  // namespace switchyard::moe
