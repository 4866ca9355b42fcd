// Carries rows by a plan from tokens to experts and home again: exchange, and the change between send order and expert
// order. Every journey has two halves, between which other work may be done: rows leave, rows have arrived.
#pragma once
#include <memory>
#include <vector>

#include "moe/layer.hpp"
#include "moe/plan.hpp"
#include "tensor/room.hpp"

namespace switchyard::moe {

/// The four journeys of a row through one layer and step; numbers of comm::ExchangeTag::journey.
enum class Journey { dispatch = 0, combine = 1, combine_backward = 2, dispatch_backward = 3 };

/// Rows on their way: on the device, staged through the host where that is another memory.
using Buffer = Staged<std::byte>;

/// When rows of a lane were on their way, s of this machine's clock.
struct Travel {
  double start = 0.0, end = 0.0;  ///< until somebody saw that all had left and arrived
  double waited = 0.0;            ///< of these the seconds in which this rank did nothing else
};

/// The buffers of a lane's journeys, of which one is under way at a time.
struct TransferPass {
  /// For the largest layer at even loads; nothing where an expert-parallel group is one rank. Rows of `branch`.
  TransferPass(Arena& arena, const Config& config, const Layout& layout, Element branch);
  Element element;
  Buffer send;     ///< rows as they leave
  Buffer receive;  ///< rows as they arrive at the experts
  Buffer home;     ///< (send rows) gradients of rows, back at home
  std::unique_ptr<comm::Flight> flight;
  std::vector<Travel> travels;  ///< since the lane began its pass, in the order in which rows left

  /// Lets the rows that are under way make progress.
  void poll();
};

/// What goes by which plan, in which step and lane.
struct Trip {
  const Plan& plan;
  TransferPass& buffers;
  std::int64_t step;
  int lane;
};

/// Stages of one layer share one object.
class Transfer {
 public:
  Transfer(const LayerContext& context, int block, int width);
  /// Where the send rows (send_rows, width) are to be written before leave_for_experts: `rows` where nothing travels.
  Tensor outgoing(const Trip& trip, const Tensor& rows) const;
  /// Sends what was written there. Collective over the expert-parallel group, as all four are.
  void leave_for_experts(const Queue& queue, const Trip& trip, Journey journey) const;
  /// rows(expert_rows, width) in expert order.
  void arrive_at_experts(const Queue& queue, const Trip& trip, const Tensor& rows) const;
  /// Sends rows(expert_rows, width) home into `home`; where nothing travels they are there.
  void leave_for_home(const Queue& queue, const Trip& trip, const Tensor& rows, Buffer& home, Journey journey) const;
  void arrive_home(const Queue& queue, const Trip& trip, const Buffer& home) const;
  /// They are there then (send_rows, width) in send order: `home`, or the `rows` that left where nothing travels.
  Tensor at_home(const Trip& trip, const Tensor& rows, const Buffer& home) const {
    return trip.plan.alone() ? rows : rows_of(trip, home, trip.plan.send_rows());
  }

 private:
  /// What goes which way into which buffer.
  struct Leg {
    comm::Bound bound;
    Journey journey;
    Buffer& receive;
  };
  Index row_bytes(const Trip& trip) const { return width_ * bytes_of(trip.buffers.element); }
  Tensor rows_of(const Trip& trip, const Buffer& buffer, Index count) const {
    return {buffer.device(), trip.buffers.element, count, width_};
  }
  std::byte* side(const Buffer& rows) const;
  void start(const Queue& queue, const Trip& trip, const Leg& leg) const;
  void finish(const Queue& queue, const Trip& trip, const comm::RowPlan& rows, const Buffer& receive) const;

  comm::Exchange& exchange_;
  bool through_host_;  ///< rows are staged through the host where the exchange works there
  Timers& timers_;
  int place_;
  int block_;
  int width_;
};

}  // namespace switchyard::moe
