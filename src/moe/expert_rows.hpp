// The rows of a layer's experts on this rank, of all its lanes.
#pragma once
#include <memory>
#include <vector>

#include "moe/plan.hpp"
#include "nn/feed_forward.hpp"
#include "tensor/room.hpp"

namespace switchyard::moe {

/// What layers whose rows are made again have one after another: each until the gradients of its experts' weights are
/// there. Null where no layer asks for it.
struct ExpertScratch {
  ExpertScratch(Arena& arena, const Config& config, const Layout& layout, Element branch);
  std::shared_ptr<RowRoom> rows, outputs;
  std::shared_ptr<nn::FeedForwardPass> network;
};

/// Lane after lane in one memory each, so that a weight gradient is one sum over the pieces of all lanes, in their
/// order and not in that of the lanes.
class ExpertRows {
 public:
  /// Of block `block`, at even loads; rows of `branch`. What is not kept of it is in `scratch`.
  ExpertRows(Arena& arena, const Config& config, const Layout& layout, int block, Element branch,
             const ExpertScratch& scratch);
  ExpertRows(ExpertRows&&) = default;

  /// What one lane has there.
  struct Part {
    Tensor rows;     ///< (expert_rows, d) into the experts
    Tensor outputs;  ///< (expert_rows, d) out of the experts; in backward its gradient
    nn::FeedForwardRows network;
  };
  /// Makes room for the rows of a lane, by its plan: lanes in their order, each once a pass. What was taken of a lane
  /// before has moved where there was too little room.
  void take(const Queue& queue, int lane, const Plan& plan);
  Part part(int lane) const { return of(begins_[lane], begins_[lane + 1] - begins_[lane]); }
  /// Some of its rows.
  Part part(int lane, const Range& rows) const { return of(begins_[lane] + rows.first, rows.size()); }
  /// All lanes, after the last of them was taken.
  Part all() const { return of(0, begins_.back()); }
  int block() const { return block_; }
  /// Whether the rows into the experts were not kept: of a whole block that is made again, where none travelled.
  bool gathered_again() const { return gathered_again_; }
  /// The experts' rows in all(), for weight gradients that are summed in `nodes`.
  nn::NetworkRows pieces(const std::vector<TreeNode>& nodes) const;

 private:
  Part of(Index first, Index n) const {
    return {rows_->rows(first, n), outputs_->rows(first, n), network_->rows(first, n)};
  }
  void take_pieces(int lane, int expert, const Plan& plan);
  void take_resident(const Queue& queue, int lane, const Plan& plan);
  Index table() const { return Index{experts_} * pieces_; }  ///< elements of one of the two

  Layout layout_;
  int block_;
  int experts_;  ///< local
  int pieces_;   ///< of the expert-parallel group
  Index usual_;  ///< rows of an expert and grain at even loads
  bool gathered_again_;
  std::shared_ptr<RowRoom> rows_, outputs_;  ///< of this layer, or the scratch
  std::shared_ptr<nn::FeedForwardPass> network_;
  std::vector<Index> begins_;  ///< (lanes + 1) first row of each lane
  Staged<Index> tables_;       ///< (experts, pieces) first rows, then as many last ones
};

}  // namespace switchyard::moe
