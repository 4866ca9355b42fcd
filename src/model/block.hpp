// One transformer block with pre-norm residuals: m = x + attention(norm(x)); y = m + mixture(norm(m)).
#pragma once
#include <memory>

#include "model/self_attention.hpp"
#include "moe/layer.hpp"
#include "nn/feed_forward.hpp"
#include "nn/norm.hpp"
#include "schedule/task.hpp"

namespace switchyard::model {

/// What all blocks of a rank share in a pass; gradients of the residual stream's branches are made one at a time.
struct BlockScratch {
  BlockScratch(const nn::Rows& rows, const Config& config);
  Rope rope;
  AttentionScratch attention;
  Matrix<float> branch;  ///< (N, d) gradient of a normalised input
};

/// The tokens of a pass, as a block needs to know them.
struct PassTokens {
  const nn::Rows& rows;
  const moe::TokenSet& tokens;
  const BlockScratch& scratch;
};

class Block {
 public:
  /// Of the parameters blocks.B.{attention_norm.weight, attention.*, feed_forward_norm.weight} and feed_forward.* or
  /// moe.*.
  Block(const moe::LayerContext& context, int block);
  /// Memory for `rows`; before the first pass.
  void allocate(const nn::Rows& rows);
  /// A stage of the way from x(N, d) to y(N, d). x is kept (not copied) until backward.
  void forward(schedule::Stage stage, const PassTokens& pass, const Matrix<float>& x, const Matrix<float>& y);
  /// A stage of the way back; d(N, d) is the gradient of y before the first, of x after the last.
  void backward(schedule::Stage stage, const nn::Rows& rows, const BlockScratch& scratch, const Matrix<float>& d);
  moe::Layer* moe() const { return moe_.get(); }  ///< null in a dense block

 private:
  nn::Norm attention_norm_;
  SelfAttention attention_;
  nn::Norm feed_forward_norm_;
  std::unique_ptr<nn::FeedForward> dense_;
  std::unique_ptr<moe::Layer> moe_;
  nn::TokenRows tokens_;  ///< of the dense network
  Matrix<float> attention_in_, middle_, feed_forward_in_;
};

}  // namespace switchyard::model
