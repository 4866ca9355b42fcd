// What a mixture-of-experts layer keeps from the forward to the backward pass of a lane.
#pragma once
#include <deque>
#include <map>
#include <memory>

#include "moe/combine.hpp"
#include "moe/expert_rows.hpp"
#include "moe/layer.hpp"
#include "moe/leg_pass.hpp"
#include "moe/plan.hpp"
#include "moe/router.hpp"
#include "moe/transfer.hpp"
#include "nn/feed_forward.hpp"
#include "nn/rows.hpp"

namespace switchyard::moe {

/// What the layers of a lane use one after another.
struct LayerScratch {
  LayerScratch(Arena& arena, const Config& config, const Layout& layout, Element branch);
  /// Takes `scores`, of which one layer after another uses the same memory.
  void take_scores(Arena& arena, const Config& config, const nn::Rows& rows);
  /// What is under way between ranks on any way: whether something is; the journeys since the lane began its pass.
  bool poll();
  std::vector<Travel>& travels() { return (legs.empty() ? transfer.under_way : legs.front().under_way).travels; }
  void forget_travels();
  /// What has gone further than the first leg, rows and gradients of weights, belongs to the last journey on that;
  void count_near();
  /// so do gradients of weights that have come home over it.
  void count_weights();

  TransferPass transfer;
  std::deque<LegPass> legs;  ///< of Layout::legs
  Vector<float> d_weights;   ///< (C) gradients of the combine weights
  RowRoom d_rows;            ///< (expert_rows, d) gradients of the rows into the experts, until they are at home
  RowRoom d_hidden;          ///< (expert_rows, hidden of this rank) overwritten by a stage
  RowRoom partial;           ///< (expert_rows, nn::partial_width) overwritten, where experts are in chunks
  // Of blocks that are made again:
  std::shared_ptr<nn::FeedForwardPass> shared;
  std::map<int, Scores> scores;  ///< by the number of experts
};

struct LayerPass {
  /// Of the block of `rows_of_block`; these, `lane_rows` and the scratch must live.
  LayerPass(Arena& arena, const nn::Rows& lane_rows, const Config& config, const Layout& layout,
            ExpertRows& rows_of_block, LayerScratch& shared_scratch);
  Trip trip() { return {plan, scratch.transfer, tokens.step, lane}; }
  ExpertRows::Part part() const { return part({0, plan.expert_rows()}); }
  ExpertRows::Part part(const Range& rows) const {
    ExpertRows::Part part = experts.part(lane, rows);
    part.network.partial = scratch.partial.rows(0, part.rows.rows);
    return part;
  }
  /// (expert_rows, d) the gradients of the rows into the experts.
  Tensor d_rows() {
    scratch.d_rows.reserve(plan.expert_rows());
    return scratch.d_rows.rows(0, plan.expert_rows());
  }

  int lane;
  ExpertRows& experts;
  LayerScratch& scratch;
  const nn::Rows& token_rows;
  RoutingPass routing;
  std::deque<Crossing> crossings;  ///< of Layout::legs
  Plan plan;
  CombinePass combine;
  std::shared_ptr<nn::FeedForwardPass> shared;  ///< of this block, or the scratch's
  TokenSet tokens;
  Tensor x;  ///< (N, d) the caller's
  Pieces pieces = Pieces::grains;
  bool rows_known = false;  ///< what comes has been taken
};

/// Appends the choices of the last forward pass, host copies; tokens have the same number of choices each.
void add_sample(const LayerPass& pass, RoutingSample& all);
/// Global id of the first local expert that made an output which is not finite from an input which is, in the last
/// forward pass; −1 if none. Before backward.
int first_non_finite_expert(const Queue& queue, LayerPass& pass);

}  // namespace switchyard::moe
