// One transformer block.
#include "model/block.hpp"

namespace switchyard::model {
namespace {

std::string prefix(int block) { return "blocks." + std::to_string(block); }

}  // namespace

BlockScratch::BlockScratch(const nn::Rows& rows, const Config& config) : rope(config), attention(rows, config) {
  branch = make_view<Matrix<float>>("model::block::branch", rows.count, config.model.width);
}

Block::Block(const moe::LayerContext& context, int block)
    : attention_norm_(context.parameters, prefix(block) + ".attention_norm.weight", context.config.model.norm_epsilon),
      attention_(context.parameters, prefix(block) + ".attention", context.config),
      feed_forward_norm_(context.parameters, prefix(block) + ".feed_forward_norm.weight",
                         context.config.model.norm_epsilon) {
  if (context.config.block_experts(block) > 0)
    moe_ = std::make_unique<moe::Layer>(context, block);
  else
    dense_ = std::make_unique<nn::FeedForward>(context.parameters, prefix(block) + ".feed_forward",
                                               context.config.model.activation);
}

void Block::allocate(const nn::Rows& rows) {
  attention_norm_.allocate(rows);
  attention_.allocate(rows);
  feed_forward_norm_.allocate(rows);
  tokens_.cut(rows.grains);
  const Index width = attention_norm_.width();
  attention_in_ = make_view<Matrix<float>>("model::block::attention_in", rows.count, width);
  middle_ = make_view<Matrix<float>>("model::block::middle", rows.count, width);
  feed_forward_in_ = make_view<Matrix<float>>("model::block::feed_forward_in", rows.count, width);
}

void Block::forward(schedule::Stage stage, const PassTokens& pass, const Matrix<float>& x, const Matrix<float>& y) {
  switch (stage) {
    case schedule::Stage::attention:
      attention_norm_.forward(pass.rows, x, attention_in_, middle_);
      return attention_.forward(pass.rows, pass.scratch.rope, pass.scratch.attention, attention_in_, middle_);
    case schedule::Stage::feed_forward:
      feed_forward_norm_.forward(pass.rows, middle_, feed_forward_in_, y);
      if (moe_) return moe_->begin(pass.tokens, feed_forward_in_);
      return dense_->forward(tokens_.rows(), feed_forward_in_.data(), y.data(), blas::Write::add);
    default:
      moe_->forward(stage, y);
  }
}

void Block::backward(schedule::Stage stage, const nn::Rows& rows, const BlockScratch& scratch, const Matrix<float>& d) {
  switch (stage) {
    case schedule::Stage::feed_forward:
      if (dense_)
        dense_->backward(tokens_.rows(), feed_forward_in_.data(), d.data(), scratch.branch.data(),
                         blas::Write::replace);
      return feed_forward_norm_.backward(rows, scratch.branch, d);
    case schedule::Stage::attention:
      attention_.backward(rows, scratch.rope, scratch.attention, d, scratch.branch);
      return attention_norm_.backward(rows, scratch.branch, d);
    default:
      moe_->backward(stage, d, scratch.branch);
  }
}

}  // namespace switchyard::model
