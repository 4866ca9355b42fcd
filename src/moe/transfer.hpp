// Carries rows by a plan from tokens to experts and home again: exchange, and the change between send order and expert
// order.
#pragma once
#include "moe/layer.hpp"
#include "moe/plan.hpp"
#include "tensor/staged.hpp"

namespace switchyard::moe {

/// The four journeys of a row through one layer and step; numbers of comm::ExchangeTag::phase.
enum class Journey { dispatch = 0, combine = 1, combine_backward = 2, dispatch_backward = 3 };

/// Stages of one layer share one object. `width` floats a row; all memory is on the device, exchanges are staged
/// through the host where that is another memory.
class Transfer {
 public:
  Transfer(const LayerContext& context, int block, int width);
  /// Where the send rows (send_rows, width) are to be written before to_experts(plan, rows, …); makes room in `rows`.
  float* outgoing(const Plan& plan, Vector<float>& rows);
  /// rows(expert_rows, width) in expert order from what was written to outgoing(). Collective over the expert group.
  void to_experts(const Plan& plan, Vector<float>& rows, Journey journey, std::int64_t step);
  /// Send rows (send_rows, width) at home from rows(expert_rows, width): in `home`, which may become `rows` itself
  /// where nothing travels. Collective over the expert group.
  void to_home(const Plan& plan, const Vector<float>& rows, Staged<float>& home, Journey journey, std::int64_t step);

 private:
  void exchange(const comm::RowPlan& rows, Staged<float>& receive, Journey journey, std::int64_t step);

  comm::Exchange& exchange_;
  Timers& timers_;
  int place_;
  int block_;
  int width_;
  Staged<float> send_;     ///< (rows, width) as they leave
  Staged<float> receive_;  ///< (rows, width) as they arrive
};

}  // namespace switchyard::moe
