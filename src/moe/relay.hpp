// Carries rows over one leg of a way by nodes, out to where they are handed on and home again. Every journey has two
// halves, between which other work may be done.
#pragma once
#include "moe/crossing.hpp"
#include "moe/leg_pass.hpp"
#include "moe/rows.hpp"

namespace switchyard::moe {

/// What goes over the leg, in which step and lane.
struct LegTrip {
  Crossing& crossing;
  LegPass& buffers;
  Element branch;  ///< of rows, but of gradients of outputs on their way out, which are floats
  std::int64_t step;
  int lane;
};

/// Rows that came home to a stop: of the choices of the tokens there, or sums of them.
struct Homecoming {
  rows::Choices choices;
  Tensor rows;
  bool summed;  ///< with their weights in them
};

/// Stages of one layer share one object a leg.
class Relay {
 public:
  Relay(const LayerContext& context, const Leg& leg, int block)
      : way_(way_of(context, leg)), link_(context, way_, block), width_(context.config.model.width) {}
  /// Tells the others what comes. Collective over the ranks that share the leg, as all are.
  void plan(const Queue& queue, const LegTrip& trip, TokensHere tokens) const;

  /// Rows of the tokens(n, width) before the leg leave; they are `sent` then,
  void leave(const Queue& queue, const LegTrip& trip, const Tensor& tokens, Journey journey) const;
  Tensor sent(const LegTrip& trip, Journey journey) const {
    return rows_of(trip.buffers.send, element_of(trip, journey), trip.crossing.token_rows());
  }
  /// and these have arrived.
  Tensor arrive(const Queue& queue, const LegTrip& trip, Journey journey) const;

  /// What came home to where the leg ends leaves for where it began, into `home`: its sums, by `weight` unless null, or
  /// every row.
  void leave_for_home(const Queue& queue, const LegTrip& trip, const Homecoming& here, const float* weight,
                      Journey journey, Buffer& home) const;
  Homecoming arrive_home(const Queue& queue, const LegTrip& trip, Journey journey, const Buffer& home) const;

  /// The gradients of weights that were made where the leg ends, in its d_weights_here,
  void send_weights(const Queue& queue, const LegTrip& trip) const;
  /// come home: d_weights(choices before the leg), +0 where dropped.
  void take_weights(const Queue& queue, const LegTrip& trip, const Vector<float>& d_weights) const;

  Tensor rows_of(const Buffer& buffer, Element element, Index count) const {
    return {buffer.device(), element, count, width_};
  }
  Tensor reserved(Buffer& buffer, Element element, Index count) const {
    buffer.reserve(count * width_ * bytes_of(element));
    return rows_of(buffer, element, count);
  }

 private:
  static Element element_of(const LegTrip& trip, Journey journey) {
    return journey == Journey::combine_backward ? Element::f32 : trip.branch;
  }
  Freight freight(const LegTrip& trip, Journey journey) const;

  Way way_;
  Link link_;
  int width_;
};

}  // namespace switchyard::moe
