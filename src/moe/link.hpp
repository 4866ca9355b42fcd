// One hop of rows between ranks: leave, arrive, and what is known of the time between.
#pragma once
#include <memory>
#include <vector>

#include "moe/layer.hpp"
#include "moe/plan.hpp"
#include "tensor/room.hpp"

namespace switchyard::moe {

/// The four journeys of a row through one layer and step, and that of the gradients of combine weights which are made
/// where the rows are; numbers of comm::ExchangeTag::journey.
enum class Journey { dispatch = 0, combine = 1, combine_backward = 2, dispatch_backward = 3, weights = 4 };

/// Rows on their way: on the device, staged through the host where that is another memory.
using Buffer = Staged<std::byte>;

/// When rows of a lane were on their way, s of this machine's clock.
struct Travel {
  double start = 0.0, end = 0.0;  ///< until somebody saw that all had left and arrived
  double waited = 0.0;            ///< of these the seconds in which this rank did nothing else
  double near = 0.0;              ///< seconds that they took between ranks of one node, before or after, all waited for
};

/// Rows of a lane that are under way, those of one journey at a time.
struct UnderWay {
  std::unique_ptr<comm::Flight> flight;
  std::vector<Travel> travels;  ///< since the lane began its pass, in the order in which rows left

  /// Lets them make progress.
  void poll();
};

/// What goes where.
struct Freight {
  const comm::Itinerary& itinerary;
  comm::Bound bound;
  Journey journey;
  Index row_bytes;
  std::int64_t step;
  int lane;
};

/// Between the ranks that a rank hands rows to itself, and, where rows go by nodes, between those of a rail.
Way near_way(const LayerContext& context);
Way rail_way(const LayerContext& context);

/// Between the ranks of a way, for one layer.
class Link {
 public:
  Link(const LayerContext& context, const Way& way, int block);
  /// The rows of `send` leave. Collective over the ranks.
  void start(const Queue& queue, UnderWay& under_way, const Freight& freight, const Buffer& send,
             Buffer& receive) const;
  /// All have left, and arrived in `receive`.
  void finish(const Queue& queue, UnderWay& under_way, const Freight& freight, const Buffer& receive) const;

 private:
  std::byte* side(const Buffer& rows) const;
  void count(const comm::RowPlan& rows, const Freight& freight) const;

  comm::Exchange& exchange_;
  bool through_host_;  ///< rows are staged through the host where the exchange works there
  Timers& timers_;
  int me_;
  int block_;
  std::vector<bool> on_node_;  ///< of each rank whether it is on this one's node
};

}  // namespace switchyard::moe
