// One hop of rows between ranks: leave, arrive, and what is known of the time between.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "base/activity.hpp"
#include "moe/layer.hpp"
#include "moe/numbers.hpp"
#include "moe/plan.hpp"
#include "tensor/room.hpp"

namespace switchyard::moe {

/// The four journeys of a row through one layer and step, and that of the gradients of combine weights which are made
/// where the rows are; numbers of comm::ExchangeTag::journey, as those of Numbers are.
enum class Journey { dispatch = 0, combine = 1, combine_backward = 2, dispatch_backward = 3, weights = 4 };

/// Rows on their way: on the device, staged through the host where that is another memory.
using Buffer = Staged<std::byte>;

/// When something was on its way, s of this machine's clock.
struct Hop {
  double start = 0.0, end = 0.0;         ///< until somebody saw that all had left and arrived
  double waited = 0.0;                   ///< of these the seconds in which this rank did nothing else
  std::int64_t bytes = 0, received = 0;  ///< to and from other ranks
};

/// When rows of a lane were on their way: over the first leg, where they go by nodes.
struct Travel : Hop {
  Hop near;     ///< before or after that, between ranks of one node
  Hop weights;  ///< gradients of combine weights that came home meanwhile, or before
};

/// Rows of a lane that are under way, those of one journey at a time.
struct UnderWay {
  std::unique_ptr<comm::Flight> flight;
  /// Until it is known how many come, and there is room: tells the flight, if so by now (Numbers::poll).
  std::function<bool(bool may_grow)> expect_rows;
  std::vector<Travel> travels;  ///< since the lane began its pass, in the order in which rows left

  /// Lets them make progress; whether some are not there yet.
  bool poll();
  /// The last journey, which is over, of rows that are not listed by themselves.
  Hop take_last();
};

/// What goes where.
struct Freight {
  const comm::Itinerary& itinerary;
  comm::Bound bound;
  Journey journey;
  Index row_bytes;
  std::int64_t step;
  int lane;
  Numbers* numbers = nullptr;  ///< that may not be there yet when the rows leave; null: they are
};

/// Between the ranks that a rank hands rows to itself, and, where rows go by nodes, between those of a
/// leg.
Way near_way(const LayerContext& context);
Way way_of(const LayerContext& context, const Leg& leg);

/// Between the ranks of a way, for one layer.
class Link {
 public:
  Link(const LayerContext& context, const Way& way, int block);
  /// The rows of `send` leave; `receive` must stay where it is. Collective over the ranks.
  void start(const Queue& queue, UnderWay& under_way, const Freight& freight, const Buffer& send,
             Buffer& receive) const;
  /// Adds what this rank sent to each rank of the way, bytes, to those of a phase.
  template <class BytesTo>
  void count(Phase phase, const BytesTo& bytes_to) const {
    for (std::size_t r = 0; r < on_node_.size(); ++r) {
      const std::int64_t bytes = static_cast<int>(r) == me_ ? 0 : bytes_to(r);
      timers_.bytes[static_cast<std::size_t>(phase)] += bytes;
      if (!on_node_[r]) timers_.bytes_across[static_cast<std::size_t>(phase)] += bytes;
    }
  }
  /// All have left, and arrived in `receive`. Their numbers have come before.
  void finish(const Queue& queue, UnderWay& under_way, const Freight& freight, const Buffer& receive) const;

 private:
  std::byte* side(const Buffer& rows) const;
  std::int64_t make_room(const comm::Passage& passage, Buffer& receive) const;
  activity::Hop hop_of(const Freight& freight) const;

  comm::Exchange& exchange_;
  bool through_host_;  ///< rows are staged through the host where the exchange works there
  Timers& timers_;
  int me_;
  int block_;
  activity::Hop hop_;          ///< of its rows
  std::vector<bool> on_node_;  ///< of each rank whether it is on this one's node
};

}  // namespace switchyard::moe
