// One transformer block with pre-norm residuals: m = x + attention(norm(x)); y = m + mixture(norm(m)).
#pragma once
#include <memory>
#include <vector>

#include "model/attention/attention.hpp"
#include "moe/layer_pass.hpp"
#include "nn/feed_forward.hpp"
#include "nn/norm.hpp"
#include "schedule/task.hpp"

namespace switchyard::model {

/// What the lanes of a rank share: the rows of the experts, of every block that is a mixture.
struct SharedRows {
  SharedRows(Arena& arena, const Config& config, const Layout& layout, Element branch);
  SharedRows(const SharedRows&) = delete;
  std::vector<std::unique_ptr<moe::ExpertRows>> of_block;  ///< null in a dense block
};

/// What the blocks of a lane use one after another.
struct BlockScratch {
  BlockScratch(Arena& arena, const nn::Rows& rows, const Config& config, const Layout& layout);
  std::unique_ptr<AttentionScratch> attention;  ///< its working memory is left to the lane
  Tensor branch;          ///< (N, d) gradient of a normalised input: branches of the stream are made one at a time
  Matrix<float> partial;  ///< (local grains, d) sums of a norm's weight
  moe::LayerScratch layer;
};

/// What a block keeps from the forward to the backward pass of a lane.
struct BlockPass {
  /// Of a mixture with `experts`, or of a dense block without; these, `lane_rows` and the scratch must live.
  BlockPass(Arena& arena, const nn::Rows& lane_rows, const Config& config, const Layout& layout,
            moe::ExpertRows* experts, BlockScratch& shared_scratch);
  BlockScratch& scratch;
  const nn::Rows& rows;
  nn::NormPass attention_norm, feed_forward_norm;
  std::unique_ptr<AttentionPass> attention;
  std::unique_ptr<nn::FeedForwardPass> dense;
  std::unique_ptr<moe::LayerPass> moe;
  Tensor attention_in, feed_forward_in;  ///< (N, d) of the branches
  Tensor middle;                         ///< (N, d) of the residual stream
};

/// The residual stream before a block and after it, (N, d).
struct Stream {
  Tensor x, y;
};

/// Holds parameters only.
class Block {
 public:
  /// Of the parameters blocks.B.{attention_norm.weight, attention.*, feed_forward_norm.weight} and feed_forward.* or
  /// moe.*.
  Block(const moe::LayerContext& context, int block);
  /// A stage of the way from stream.x to stream.y. x is kept (not copied) until backward.
  void forward(const Queue& queue, schedule::Stage stage, const moe::TokenSet& tokens, const Stream& stream,
               BlockPass& pass) const;
  /// A stage of the way back; d(N, d) is the gradient of y before the first, of x after the last.
  void backward(const Queue& queue, schedule::Stage stage, const Tensor& d, BlockPass& pass) const;
  moe::Layer* moe() const { return moe_.get(); }  ///< null in a dense block

 private:
  nn::Norm attention_norm_;
  std::unique_ptr<Attention> attention_;
  nn::Norm feed_forward_norm_;
  std::unique_ptr<nn::FeedForward> dense_;
  std::unique_ptr<moe::Layer> moe_;
};

}  // namespace switchyard::model
