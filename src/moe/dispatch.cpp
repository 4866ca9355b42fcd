#include "moe/dispatch.hpp"

namespace switchyard::moe {

void Dispatch::start(const Queue& queue, const Trip& trip, const Tensor& x, RowRoom& rows) const {
  rows::gather(queue, trip.plan.token_of_row(), x, transfer_.outgoing(trip, rows));
  transfer_.leave_for_experts(queue, trip, Journey::dispatch);
}

void Dispatch::start_backward(const Queue& queue, const Trip& trip, const RowRoom& d_rows) const {
  transfer_.leave_for_home(queue, trip, d_rows.rows(trip.plan.expert_rows()), trip.buffers.home,
                           Journey::dispatch_backward);
}

void Dispatch::finish_backward(const Queue& queue, const Trip& trip, const RowRoom& d_rows, const Tensor& dx) const {
  const Tensor left = d_rows.rows(trip.plan.expert_rows());
  rows::sum(queue, trip.plan.rows_of_tokens(), transfer_.arrive_home(queue, trip, left, trip.buffers.home), dx);
}

}  // namespace switchyard::moe
