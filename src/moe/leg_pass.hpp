// What a lane has for one leg of rows that go by nodes (Layout::legs).
#pragma once
#include "moe/crossing.hpp"
#include "moe/link.hpp"

namespace switchyard::moe {

/// The buffers of a lane's journeys on a leg, for the largest layer at even loads. Rows of `branch`, but gradients of
/// outputs as floats, since they are not scaled yet.
struct LegPass {
  LegPass(Arena& arena, const Config& config, const Layout& layout, Element branch, int leg);
  bool sums;       ///< sums_on
  Buffer send;     ///< rows as they leave
  Buffer receive;  ///< rows of tokens as they arrive at the part of their experts, where they are handed on
  Buffer home;     ///< rows, or their sums, back from there
  Buffer d_weights_here, d_weights_home;  ///< gradients of combine weights, in choice rows, where sums go home
  CrossingWork work;
  UnderWay under_way, d_weights;

  /// What brings these home.
  static Freight weights(const Crossing& crossing, std::int64_t step, int lane) {
    return {crossing.choices(), comm::Bound::home, Journey::weights, sizeof(float), step, lane};
  }
};

}  // namespace switchyard::moe
