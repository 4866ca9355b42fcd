#include "moe/transfer.hpp"

#include <algorithm>

#include "config/moe_layers.hpp"
#include "moe/rows.hpp"
#include "tensor/sum.hpp"

namespace switchyard::moe {
namespace {

/// Rows of the largest layer at even loads: that arrive at the experts of a rank, and that it hands on to experts.
struct RowCounts {
  Index experts = 0, home = 0;
};

RowCounts most_rows(const Config& config, const Layout& layout) {
  if (layout.near_places().size() == 1 || moe_layers(config).empty()) return {};
  return {most_expert_rows(config, layout), most_handed_on(config, layout).choices};
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
  if (layout.expert_tensor_parallel > 1)
    copies = buffer("moe::transfer::copies", rows.home * layout.expert_tensor_parallel);
}

Tensor Transfer::outgoing(const Trip& trip, const Tensor& rows) const {
  if (trip.plan.alone()) return rows;
  trip.buffers.send.reserve(trip.plan.send_rows() * row_bytes(trip));
  return rows_of(trip, trip.buffers.send, trip.plan.send_rows());
}

void Transfer::leave_for_experts(const Queue& queue, const Trip& trip, Journey journey) const {
  if (trip.plan.alone()) return;
  const TransferPass& buffers = trip.buffers;
  link_.start(queue, trip.buffers.under_way, freight(trip, comm::Bound::out, journey), buffers.send,
              trip.buffers.receive);
}

void Transfer::arrive_at_experts(const Queue& queue, const Trip& trip, const Tensor& rows, Journey journey) const {
  if (trip.plan.alone()) return;
  link_.finish(queue, trip.buffers.under_way, freight(trip, comm::Bound::out, journey), trip.buffers.receive);
  const Range others = trip.plan.others().rows;
  rows::gather(queue, trip.plan.received_of_row() + others.first, rows_of(trip, trip.buffers.receive, rows.rows),
               rows.part(others.first, others.size()));
}

void Transfer::stay(const Queue& queue, const Trip& trip, const Tensor& rows) const {
  const Range staying = trip.plan.staying();
  if (trip.plan.alone() || staying.size() == 0) return;
  const Tensor sent = rows_of(trip, trip.buffers.send, trip.plan.send_rows()).part(staying.first, staying.size());
  const auto bytes = [&](const Tensor& t) { return Vector<std::byte>(t.data, staying.size() * row_bytes(trip)); };
  copy(queue, bytes(rows), bytes(sent));
}

void Transfer::leave_for_home(const Queue& queue, const Trip& trip, const Tensor& rows, Buffer& home,
                              Journey journey) const {
  if (trip.plan.alone()) return;
  trip.buffers.send.reserve(rows.rows * row_bytes(trip));
  rows::scatter(queue, trip.plan.received_of_row(), rows, rows_of(trip, trip.buffers.send, rows.rows));
  if (trip.plan.copies() > 1) home.reserve(trip.plan.send_rows() * row_bytes(trip));
  link_.start(queue, trip.buffers.under_way, freight(trip, comm::Bound::home, journey), trip.buffers.send,
              trip.plan.copies() > 1 ? trip.buffers.copies : home);
}

void Transfer::arrive_home(const Queue& queue, const Trip& trip, const Buffer& home, Journey journey) const {
  if (trip.plan.alone()) return;
  const bool summed = trip.plan.copies() > 1;
  const Buffer& arrived = summed ? trip.buffers.copies : home;
  link_.finish(queue, trip.buffers.under_way, freight(trip, comm::Bound::home, journey), arrived);
  if (!summed) return;
  const Index rows = trip.plan.send_rows();
  const Tensor all = rows_of(trip, arrived, rows * trip.plan.copies());
  std::vector<Tensor> parts;
  for (int c = 0; c < trip.plan.copies(); ++c) parts.push_back(all.part(c * rows, rows));
  add_along_tree(queue, parts, rows_of(trip, home, rows));
}

}  // namespace switchyard::moe
