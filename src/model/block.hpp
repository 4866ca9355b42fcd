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
  moe::ExpertScratch scratch;
  std::vector<std::unique_ptr<moe::ExpertRows>> of_block;  ///< null in a dense block
};

/// What the norms and the attention of a block make on the way forward and read on the way back.
struct BlockValues {
  BlockValues(Arena& arena, const nn::Rows& rows, const Config& config, const AttentionScratch& scratch);
  nn::NormPass attention_norm, feed_forward_norm;
  std::unique_ptr<AttentionPass> attention;
  Tensor attention_in, feed_forward_in;  ///< (N, d) of the branches
  Tensor middle;                         ///< (N, d) of the residual stream
};

/// What the blocks of a lane use one after another.
struct BlockScratch {
  BlockScratch(Arena& arena, const nn::Rows& rows, const Config& config, const Layout& layout);
  /// Takes working memory of the attention for `threads` host threads, and what blocks that are made again have in the
  /// forward pass and then from recompute to backward: nothing of either is wanted while the head works.
  void take_working(Arena& arena, const nn::Rows& rows, const Config& config, int threads);
  std::unique_ptr<AttentionScratch> attention;  ///< its working memory is left to take_working
  Tensor branch;  ///< (N, d) gradient of a normalised input, a sum of floats: branches are made one at a time
  nn::NormPartials partials;
  moe::LayerScratch layer;
  // Of blocks that are made again; null where there is none.
  std::shared_ptr<BlockValues> values;
  std::shared_ptr<nn::FeedForwardPass> dense;
};

/// A block as a lane has it.
struct BlockPlace {
  const Config& config;
  const Layout& layout;
  int block;
};

/// What a block keeps from the forward to the backward pass of a lane.
struct BlockPass {
  /// Of block number `block`, a mixture with `experts`, or a dense one without; these, `lane_rows` and the scratch must
  /// live.
  BlockPass(Arena& arena, const nn::Rows& lane_rows, const BlockPlace& place, moe::ExpertRows* experts,
            BlockScratch& shared_scratch);
  BlockScratch& scratch;
  const nn::Rows& rows;
  std::shared_ptr<BlockValues> values;         ///< of this block, or the scratch's
  std::shared_ptr<nn::FeedForwardPass> dense;  ///< likewise
  std::unique_ptr<moe::LayerPass> moe;
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
  /// A stage of schedule::recompute_stages: what forward made of x(N, d) and was not kept, to the bit.
  void recompute(const Queue& queue, schedule::Stage stage, const Tensor& x, BlockPass& pass) const;
  /// A stage of the way back; d is the gradient of y before the first, of x after the last.
  void backward(const Queue& queue, schedule::Stage stage, const nn::StreamGradient& d, BlockPass& pass) const;
  moe::Layer* moe() const { return moe_.get(); }  ///< null in a dense block

 private:
  void attend(const Queue& queue, const Tensor& x, BlockPass& pass) const;

  nn::Norm attention_norm_;
  std::unique_ptr<Attention> attention_;
  nn::Norm feed_forward_norm_;
  std::unique_ptr<nn::FeedForward> dense_;
  std::unique_ptr<moe::Layer> moe_;
};

}  // namespace switchyard::model
