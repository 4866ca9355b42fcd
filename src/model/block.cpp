// One transformer block.
#include "model/block.hpp"

namespace switchyard::model {
namespace {

std::string prefix(int block) { return "blocks." + std::to_string(block); }

}  // namespace

SharedRows::SharedRows(Arena& arena, const Config& config, const Layout& layout, Element branch) {
  for (int b = 0; b < config.model.blocks; ++b)
    of_block.push_back(config.block_experts(b) > 0 ? std::make_unique<moe::ExpertRows>(arena, config, layout, b, branch)
                                                   : nullptr);
}

BlockScratch::BlockScratch(Arena& arena, const nn::Rows& rows, const Config& config, const Layout& layout)
    : attention(make_attention_scratch(arena, config)),
      branch(arena.tensor(rows.branch, rows.count, config.model.width, Account::scratch)),
      partial(arena.matrix<float>(rows.grain_count(), config.model.width, Account::scratch)),
      layer(arena, config, layout, rows.branch) {}

BlockPass::BlockPass(Arena& arena, const nn::Rows& lane_rows, const Config& config, const Layout& layout,
                     moe::ExpertRows* experts, BlockScratch& shared_scratch)
    : scratch(shared_scratch),
      rows(lane_rows),
      attention_norm(arena, rows),
      feed_forward_norm(arena, rows),
      attention(scratch.attention->make_pass(arena, rows, config)),
      attention_in(arena.tensor(rows.branch, rows.count, config.model.width)),
      feed_forward_in(arena.tensor(rows.branch, rows.count, config.model.width)),
      middle(arena.tensor(Element::f32, rows.count, config.model.width)) {
  if (experts)
    moe = std::make_unique<moe::LayerPass>(arena, rows, config, layout, *experts, scratch.layer);
  else
    dense = std::make_unique<nn::FeedForwardPass>(arena, Account::activations,
                                                  Tensor{nullptr, rows.branch, rows.count, config.model.hidden},
                                                  config.model.activation);
}

Block::Block(const moe::LayerContext& context, int block)
    : attention_norm_(context.parameters, prefix(block) + ".attention_norm.weight", context.config.model.norm_epsilon),
      attention_(make_attention({context.config, context.parameters, block})),
      feed_forward_norm_(context.parameters, prefix(block) + ".feed_forward_norm.weight",
                         context.config.model.norm_epsilon) {
  if (context.config.block_experts(block) > 0)
    moe_ = std::make_unique<moe::Layer>(context, block);
  else
    dense_ = std::make_unique<nn::FeedForward>(context.parameters, prefix(block) + ".feed_forward",
                                               context.config.model.activation);
}

void Block::forward(const Queue& queue, schedule::Stage stage, const moe::TokenSet& tokens, const Stream& stream,
                    BlockPass& pass) const {
  switch (stage) {
    case schedule::Stage::attention:
      attention_norm_.forward(queue, stream.x, pass.attention_in, pass.attention_norm, pass.middle);
      return attention_->forward(queue, *pass.scratch.attention, pass.attention_in, pass.middle, *pass.attention);
    case schedule::Stage::feed_forward:
      feed_forward_norm_.forward(queue, pass.middle, pass.feed_forward_in, pass.feed_forward_norm, stream.y);
      if (moe_) return moe_->begin(tokens, pass.feed_forward_in, *pass.moe);
      return dense_->forward(queue, pass.rows.network().networks, pass.feed_forward_in,
                             {stream.y, products::Write::add}, pass.dense->rows(0, pass.rows.count));
    default:
      moe_->forward(queue, stage, stream.y, *pass.moe);
  }
}

void Block::backward(const Queue& queue, schedule::Stage stage, const Tensor& d, BlockPass& pass) const {
  const BlockScratch& scratch = pass.scratch;
  switch (stage) {
    case schedule::Stage::feed_forward:
      if (dense_)
        dense_->backward(queue, pass.rows.network(), pass.feed_forward_in, d, {scratch.branch},
                         pass.dense->rows(0, pass.rows.count));
      return feed_forward_norm_.backward(queue, pass.rows, scratch.branch, d, pass.feed_forward_norm, scratch.partial);
    case schedule::Stage::attention:
      attention_->backward(queue, *scratch.attention, d, scratch.branch, *pass.attention);
      return attention_norm_.backward(queue, pass.rows, scratch.branch, d, pass.attention_norm, scratch.partial);
    default:
      moe_->backward(queue, stage, d, scratch.branch, *pass.moe);
  }
}

}  // namespace switchyard::model
