#include "moe/transfer.hpp"

#include "moe/rows.hpp"

namespace switchyard::moe {
namespace {

Phase phase_of(Journey journey) {
  return journey == Journey::dispatch || journey == Journey::dispatch_backward ? Phase::dispatch : Phase::combine;
}

}  // namespace

Transfer::Transfer(const LayerContext& context, int block, int width)
    : exchange_(context.exchange),
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

/// `send_` has left for the host; the rows of `receive` arrive in its host twin and go on to the device.
void Transfer::exchange(const comm::RowPlan& rows, Staged<float>& receive, Journey journey, std::int64_t step) {
  receive.reserve("moe::transfer::receive", rows.receive.back() * width_);
  Kokkos::fence("switchyard::moe::transfer::exchange");  // the rows to send are written
  send_.to_host(rows.send.back() * width_);
  exchange_.start(rows, width_, send_.host.data(), receive.host.data(), {step, block_, static_cast<int>(journey)});
  exchange_.finish();
  receive.to_device(rows.receive.back() * width_);
  const std::int64_t stay = rows.send[place_ + 1] - rows.send[place_];
  timers_.bytes[static_cast<int>(phase_of(journey))] +=
      (rows.send.back() - stay) * width_ * static_cast<std::int64_t>(sizeof(float));
}

void Transfer::to_experts(const Plan& plan, Vector<float>& rows, Journey journey, std::int64_t step) {
  if (plan.alone()) return;
  exchange(plan.to_experts(), receive_, journey, step);
  rows::gather(plan.expert_rows(), width_, plan.received_of_row(), 1, receive_.device.data(), rows.data());
}

void Transfer::to_home(const Plan& plan, const Vector<float>& rows, Staged<float>& home, Journey journey,
                       std::int64_t step) {
  if (plan.alone()) {
    home.device = rows;
    return;
  }
  send_.reserve("moe::transfer::send", plan.expert_rows() * width_);
  rows::scatter(plan.expert_rows(), width_, plan.received_of_row(), rows.data(), send_.device.data());
  exchange(plan.to_home(), home, journey, step);
}

}  // namespace switchyard::moe
