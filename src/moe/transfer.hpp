// Carries rows by a plan from tokens to experts and home again: exchange, and the change between send order and expert
// order. Every journey has two halves, between which other work may be done: rows leave, rows have arrived.
#pragma once
#include "moe/link.hpp"
#include "moe/plan.hpp"

namespace switchyard::moe {

/// The buffers of a lane's journeys, of which one is under way at a time.
struct TransferPass {
  /// For the largest layer at even loads; nothing where an expert-parallel group is one rank. Rows of `branch`.
  TransferPass(Arena& arena, const Config& config, const Layout& layout, Element branch);
  Element element;
  Buffer send;     ///< rows as they leave
  Buffer receive;  ///< rows as they arrive at the experts
  Buffer home;     ///< (send rows) gradients of rows, back at home
  Buffer copies;   ///< (copies, send rows) on the way home from ranks that share experts, to be summed
  UnderWay under_way;
};

/// What goes by which plan, in which step and lane.
struct Trip {
  Plan& plan;
  TransferPass& buffers;
  std::int64_t step;
  int lane;
};

/// Stages of one layer share one object.
class Transfer {
 public:
  Transfer(const LayerContext& context, const Way& way, int block)
      : link_(context, way, block), width_(context.config.model.width) {}
  /// What the plan sent counts in phase `plan`.
  void count_plan(const Plan& plan) const {
    link_.count(Phase::plan, [&](std::size_t r) { return plan.bytes_to(r); });
  }
  /// Where the send rows (send_rows, width) are to be written before leave_for_experts: `rows` where nothing travels.
  Tensor outgoing(const Trip& trip, const Tensor& rows) const;
  /// Sends what was written there. Collective over the ranks of the way, as all four are.
  void leave_for_experts(const Queue& queue, const Trip& trip, Journey journey) const;
  /// Of rows(expert_rows, width) those that stay, as they were written to outgoing: by then, or while the others
  /// travel.
  void stay(const Queue& queue, const Trip& trip, const Tensor& rows) const;
  /// The others of rows(expert_rows, width), in expert order.
  void arrive_at_experts(const Queue& queue, const Trip& trip, const Tensor& rows, Journey journey) const;
  /// Sends rows(expert_rows, width) home into `home`, of ranks that share an expert their sum; where nothing travels
  /// they are there.
  void leave_for_home(const Queue& queue, const Trip& trip, const Tensor& rows, Buffer& home, Journey journey) const;
  void arrive_home(const Queue& queue, const Trip& trip, const Buffer& home, Journey journey) const;
  /// They are there then (send_rows, width) in send order: `home`, or the `rows` that left where nothing travels.
  Tensor at_home(const Trip& trip, const Tensor& rows, const Buffer& home) const {
    return trip.plan.alone() ? rows : rows_of(trip, home, trip.plan.send_rows());
  }

 private:
  Index row_bytes(const Trip& trip) const { return width_ * bytes_of(trip.buffers.element); }
  Tensor rows_of(const Trip& trip, const Buffer& buffer, Index count) const {
    return {buffer.device(), trip.buffers.element, count, width_};
  }
  Freight freight(const Trip& trip, comm::Bound bound, Journey journey) const {
    return {trip.plan.itinerary(), bound, journey, row_bytes(trip), trip.step, trip.lane, &trip.plan};
  }

  Link link_;
  int width_;
};

}  // namespace switchyard::moe
