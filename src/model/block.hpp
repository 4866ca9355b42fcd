// One transformer block with pre-norm residuals: m = x + attention(norm(x)); y = m + mixture(norm(m)).
#pragma once
#include <memory>

#include "model/self_attention.hpp"
#include "moe/layer_pass.hpp"
#include "nn/feed_forward.hpp"
#include "nn/norm.hpp"
#include "schedule/task.hpp"

namespace switchyard::model {

/// What the blocks of a lane use one after another, and the tables of angles.
struct BlockScratch {
  BlockScratch(Arena& arena, const nn::Rows& rows, const Config& config, const Layout& layout);
  Rope rope;
  Matrix<float> branch;   ///< (N, d) gradient of a normalised input: branches of the stream are made one at a time
  Matrix<float> partial;  ///< (local grains, d) sums of a norm's weight
  moe::LayerScratch layer;
  AttentionScratch attention;  ///< left to the lane, since the head may use the same memory
};

/// What a block keeps from the forward to the backward pass of a lane.
struct BlockPass {
  /// Of block `block`; `rows` and the scratch must live.
  BlockPass(Arena& arena, const nn::Rows& rows, const Config& config, const Layout& layout, int block,
            BlockScratch& shared_scratch);
  BlockScratch& scratch;
  nn::NormPass attention_norm, feed_forward_norm;
  AttentionPass attention;
  std::unique_ptr<nn::FeedForwardPass> dense;
  std::unique_ptr<moe::LayerPass> moe;
  Matrix<float> attention_in, middle, feed_forward_in;  ///< (N, d)
};

/// The tokens of a pass, as a block needs to know them.
struct PassTokens {
  const nn::Rows& rows;
  const moe::TokenSet& tokens;
};

/// Holds parameters only.
class Block {
 public:
  /// Of the parameters blocks.B.{attention_norm.weight, attention.*, feed_forward_norm.weight} and feed_forward.* or
  /// moe.*.
  Block(const moe::LayerContext& context, int block);
  /// A stage of the way from x(N, d) to y(N, d). x is kept (not copied) until backward.
  void forward(schedule::Stage stage, const PassTokens& tokens, const Matrix<float>& x, const Matrix<float>& y,
               BlockPass& pass) const;
  /// A stage of the way back; d(N, d) is the gradient of y before the first, of x after the last.
  void backward(schedule::Stage stage, const nn::Rows& rows, const Matrix<float>& d, BlockPass& pass) const;
  moe::Layer* moe() const { return moe_.get(); }  ///< null in a dense block

 private:
  nn::Norm attention_norm_;
  SelfAttention attention_;
  nn::Norm feed_forward_norm_;
  std::unique_ptr<nn::FeedForward> dense_;
  std::unique_ptr<moe::Layer> moe_;
};

}  // namespace switchyard::model
