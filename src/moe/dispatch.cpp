#include "moe/dispatch.hpp"

namespace switchyard::moe {

void Dispatch::start(const Queue& queue, const Trip& trip, const Tensor& x, const Tensor& rows) const {
  rows::gather(queue, trip.plan.token_of_row(), x, transfer_.outgoing(trip, rows));
  transfer_.leave_for_experts(queue, trip, Journey::dispatch);
}

void Dispatch::start_backward(const Queue& queue, const Trip& trip, const Tensor& d_rows) const {
  transfer_.leave_for_home(queue, trip, d_rows, trip.buffers.home, Journey::dispatch_backward);
}

void Dispatch::finish_backward(const Queue& queue, const Trip& trip, const Tensor& d_rows, const Tensor& dx) const {
  transfer_.arrive_home(queue, trip, trip.buffers.home, Journey::dispatch_backward);
  rows::add_sums(queue, trip.plan.rows_of_tokens(), nullptr, transfer_.at_home(trip, d_rows, trip.buffers.home), dx);
}

}  // namespace switchyard::moe
