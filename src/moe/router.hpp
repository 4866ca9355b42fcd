// The stage of one layer around its router (routers/) and balancers (balancers/): drops what is over the capacity,
// counts, keeps the selection bias. Every formula stands in docs/conventions.md.
#pragma once
#include <memory>
#include <vector>

#include "moe/balancers/balancer.hpp"
#include "moe/batch_load.hpp"
#include "moe/capacity.hpp"
#include "moe/cutoffs.hpp"
#include "moe/layer.hpp"
#include "moe/routers/router.hpp"
#include "moe/tally.hpp"

namespace switchyard::moe {

/// The memory of the scores of `rows` through a layer of `experts`.
Scores make_scores(Arena& arena, const Config& config, const nn::Rows& rows, int experts);

/// What the stage keeps from the forward to the backward pass of a lane.
struct RoutingPass {
  /// Of `rows`, which must live, through a layer of `experts`. Scores are those given, if any.
  RoutingPass(Arena& arena, const Config& config, const nn::Rows& rows, int experts, const Scores* scores = nullptr);
  const Choice& choice() const { return routed.choice; }
  RouterPass routed;  ///< x is the caller's
  Drop drop;
  Tally tally;
  BatchLoad load;
  Pass kind = Pass::train;
  bool reduced = false;  ///< between take_statistics and backward
  bool own_scores;       ///< and not those that layers share where they are made again
};

class RouterStage {
 public:
  /// Of the router that the configuration names, and its parameters.
  RouterStage(const LayerContext& context, int block);

  /// Routes x(N, d), which is kept (not copied) until backward. The choice is valid until the next forward. Tokens are
  /// whole grains of this rank. Local.
  void forward(const Queue& queue, const TokenSet& tokens, const Tensor& x, RoutingPass& pass) const;
  /// The scores of a forward pass again; its choice stays. Local.
  void rescore(const Queue& queue, const TokenSet& tokens, const RoutingPass& pass) const {
    router_->rescore(queue, tokens, pass.routed);
  }
  /// Adds the statistics of a forward pass of all lanes, in order, to a sum over the global batch, and takes them from
  /// it once it is finished (`traffic` left empty). Once after each forward whose statistics or gradient are wanted.
  void offer_statistics(const Queue& queue, const std::vector<RoutingPass*>& lanes, comm::JointSum& sum) const;
  LayerStatistics take_statistics(const comm::JointSum& sum, const std::vector<RoutingPass*>& lanes);
  /// Lets backward come before take_statistics, where no balancer has a loss.
  void statistics_later(RoutingPass& pass) const;
  /// dx(N, d) is replaced by the gradient of x through weights and losses, given dweight(C) of the combine weights
  /// (ignored where dropped). Replaces the gradients of the parameters. Local; after take_statistics of a training
  /// pass, or before where no loss asks for the load of the whole batch (layout.waves).
  void backward(const Queue& queue, const Vector<float>& dweight, const Tensor& dx, RoutingPass& pass) const;
  /// Moves the selection bias by the statistics of the last reduced training pass, between moe.bias_from and
  /// moe.bias_until.
  void update_bias(const Queue& queue, std::int64_t step);

  int experts() const { return router_->shape().experts; }
  const std::vector<float>& bias() const { return bias_; }  ///< (E)
  void set_bias(const Queue& queue, const std::vector<float>& bias);

 private:
  std::int64_t rows_of_expert(const nn::Rows& rows) const;
  void stage_bias();

  LayerContext context_;
  int block_;
  std::unique_ptr<Router> router_;
  Balancers balancers_;
  std::vector<float> bias_;    ///< (E)
  std::vector<float> staged_;  ///< (E + 2) bias_ and its CutoffBins, in one copy
  Vector<float> device_staged_;
  SelectionBias device_bias_;  ///< parts of it
  LayerStatistics trained_;    ///< of the last reduced training pass
};

}  // namespace switchyard::moe
