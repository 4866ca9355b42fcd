// Carries rows by a plan from tokens to experts and home again: exchange, and the change between send order and expert
// order. Every journey has two halves, between which other work may be done: rows leave, rows have arrived.
#pragma once
#include <memory>

#include "moe/layer.hpp"
#include "moe/plan.hpp"
#include "tensor/staged.hpp"

namespace switchyard::moe {

/// The four journeys of a row through one layer and step; numbers of comm::ExchangeTag::journey.
enum class Journey { dispatch = 0, combine = 1, combine_backward = 2, dispatch_backward = 3 };

/// Stages of one layer share one object, and one journey is under way at a time. `width` floats a row; all memory is on
/// the device, and staged through the host for an exchange that works there, where that is another memory.
class Transfer {
 public:
  Transfer(const LayerContext& context, int block, int width);
  /// Where the send rows (send_rows, width) are to be written before leave_for_experts; makes room in `rows`.
  float* outgoing(const Plan& plan, Vector<float>& rows);
  /// Sends what was written there. Collective over the expert group, as all four are.
  void leave_for_experts(const Plan& plan, Journey journey, std::int64_t step);
  /// rows(expert_rows, width) in expert order.
  void arrive_at_experts(const Plan& plan, Vector<float>& rows);
  /// Sends rows(expert_rows, width) home into `home`, which may become `rows` itself where nothing travels.
  void leave_for_home(const Plan& plan, const Vector<float>& rows, Staged<float>& home, Journey journey,
                      std::int64_t step);
  /// home(send_rows, width) in send order.
  void arrive_home(const Plan& plan, Staged<float>& home);

 private:
  void start(const Plan& plan, comm::Bound bound, Staged<float>& receive, Journey journey, std::int64_t step);
  float* side(const Staged<float>& rows) const;  ///< the twin that the exchange works with
  void finish(const comm::RowPlan& rows, Staged<float>& receive);

  comm::Exchange& exchange_;
  bool through_host_;
  Timers& timers_;
  int place_;
  int block_;
  int width_;
  Staged<float> send_;     ///< (rows, width) as they leave
  Staged<float> receive_;  ///< (rows, width) as they arrive at the experts
  std::unique_ptr<comm::Flight> flight_;
};

}  // namespace switchyard::moe
