// The four journeys of rows between tokens and their experts, whichever way they go. Each has two halves, between which
// other work may be done; a lane has one under way at a time. All are collective over the expert-parallel group.
#pragma once
#include <memory>

#include "moe/layer.hpp"
#include "moe/plan.hpp"

namespace switchyard::moe {

struct LayerPass;

/// One object a layer; what it needs of a pass it has in the pass.
class Journeys {
 public:
  virtual ~Journeys() = default;
  /// Plans them for what routing chose: what leaves this rank,
  virtual void plan(const Queue& queue, LayerPass& pass) const = 0;
  /// and what comes, once the others have told it; by the time of dispatch_here and dispatch_finish.
  virtual void plan_finish(const Queue& queue, LayerPass& pass) const = 0;

  /// Rows of pass.x(N, d) leave for their experts,
  virtual void dispatch(const Queue& queue, LayerPass& pass) const = 0;
  /// where those that stay (Plan::here) are part().rows, while the others travel,
  virtual void dispatch_here(const Queue& queue, LayerPass& pass) const = 0;
  /// and all of them then.
  virtual void dispatch_finish(const Queue& queue, LayerPass& pass) const = 0;
  /// part().outputs leave for home,
  virtual void combine(const Queue& queue, LayerPass& pass) const = 0;
  /// where y(N, d) += Σ over choices of weight · output, in the order of moe.combine_groups.
  virtual void combine_finish(const Queue& queue, const Tensor& y, LayerPass& pass) const = 0;
  /// Their gradients, given dy(N, d) of y, leave for the experts,
  virtual void combine_backward(const Queue& queue, const Tensor& dy, LayerPass& pass) const = 0;
  /// where they take the place of part().outputs: of rows that stay,
  virtual void combine_backward_here(const Queue& queue, LayerPass& pass) const = 0;
  /// and of all.
  virtual void combine_backward_finish(const Queue& queue, LayerPass& pass) const = 0;
  /// The gradients d_rows() of the rows into the experts leave for home.
  virtual void dispatch_backward(const Queue& queue, LayerPass& pass) const = 0;
  /// From here on scratch.d_weights(C) are the gradients of the combine weights, +0 where dropped: made here, or come
  /// home since combine_backward_finish.
  virtual void weights_finish(const Queue& queue, LayerPass& pass) const = 0;
  /// dx(N, d) += the sum of the gradients of each token's rows, in the same order.
  virtual void dispatch_backward_finish(const Queue& queue, const Tensor& dx, LayerPass& pass) const = 0;
};

/// By nodes where groups.by_nodes says so.
std::unique_ptr<Journeys> make_journeys(const LayerContext& context, int block);

}  // namespace switchyard::moe
