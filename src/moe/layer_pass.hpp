// What a mixture-of-experts layer keeps from the forward to the backward pass of a lane.
#pragma once
#include <optional>

#include "moe/combine.hpp"
#include "moe/layer.hpp"
#include "moe/plan.hpp"
#include "moe/router.hpp"
#include "moe/transfer.hpp"
#include "nn/feed_forward.hpp"
#include "nn/rows.hpp"

namespace switchyard::moe {

/// What the layers of a lane use one after another.
struct LayerScratch {
  LayerScratch(Arena& arena, const Config& config, const Layout& layout, Element branch);
  TransferPass transfer;
  Vector<float> d_weights;  ///< (C) gradients of the combine weights
};

struct LayerPass {
  /// Of block `block`; `lane_rows` and the scratch must live.
  LayerPass(Arena& arena, const nn::Rows& lane_rows, const Config& config, const Layout& layout, int block,
            LayerScratch& shared_scratch);
  Trip trip() { return {plan, scratch.transfer, tokens.step}; }

  LayerScratch& scratch;
  const nn::Rows& token_rows;
  RoutingPass routing;
  Plan plan;
  CombinePass combine;
  nn::FeedForwardPass experts;
  std::optional<nn::FeedForwardPass> shared;
  RowRoom rows;     ///< (expert_rows, d) into the experts; in backward its gradient
  RowRoom outputs;  ///< (expert_rows, d) out of the experts; in backward its gradient
  TokenSet tokens;
  Tensor x;  ///< (N, d) the caller's
};

/// Choices of the last forward pass, host copies; tokens have the same number of choices each.
RoutingSample sample(const LayerPass& pass);
/// Global id of the first local expert that made an output which is not finite from an input which is, in the last
/// forward pass; −1 if none. Before backward.
int first_non_finite_expert(const Queue& queue, const LayerPass& pass);

}  // namespace switchyard::moe
