#include "moe/dispatch.hpp"

namespace switchyard::moe {

void Dispatch::start(const Trip& trip, const Matrix<float>& x, Room<float>& rows) const {
  float* send = transfer_.outgoing(trip, rows);
  rows::gather(trip.plan.send_rows(), width_, trip.plan.token_of_row(), x.data(), send);
  transfer_.leave_for_experts(trip, Journey::dispatch);
}

void Dispatch::start_backward(const Trip& trip, const float* d_rows) const {
  transfer_.leave_for_home(trip, d_rows, trip.buffers.home, Journey::dispatch_backward);
}

void Dispatch::finish_backward(const Trip& trip, const float* d_rows, const Matrix<float>& dx) const {
  const float* home = transfer_.arrive_home(trip, d_rows, trip.buffers.home);
  rows::sum(trip.plan.rows_of_tokens(), width_, home, dx.data());
}

}  // namespace switchyard::moe
