// One transformer block.
#include "model/block.hpp"

#include "config/recomputation.hpp"

namespace switchyard::model {
namespace {

std::string prefix(int block) { return "blocks." + std::to_string(block); }

std::shared_ptr<nn::FeedForwardPass> make_dense(Arena& arena, const Config& config, Account account,
                                                const nn::Rows& rows) {
  return std::make_shared<nn::FeedForwardPass>(
      arena, account, Tensor{nullptr, rows.branch, rows.count, config.model.hidden}, config.model.activation);
}

}  // namespace

SharedRows::SharedRows(Arena& arena, const Config& config, const Layout& layout, Element branch)
    : scratch(arena, config, layout, branch) {
  for (int b = 0; b < config.model.blocks; ++b)
    of_block.push_back(config.block_experts(b) > 0
                           ? std::make_unique<moe::ExpertRows>(arena, config, layout, b, branch, scratch)
                           : nullptr);
}

BlockValues::BlockValues(Arena& arena, const nn::Rows& rows, const Config& config, const AttentionScratch& scratch)
    : attention_norm(arena, rows),
      feed_forward_norm(arena, rows),
      attention(scratch.make_pass(arena, rows, config)),
      attention_in(arena.tensor(rows.branch, rows.count, config.model.width)),
      feed_forward_in(arena.tensor(rows.branch, rows.count, config.model.width)),
      middle(arena.tensor(Element::f32, rows.count, config.model.width)) {}

BlockScratch::BlockScratch(Arena& arena, const nn::Rows& rows, const Config& config, const Layout& layout)
    : attention(make_attention_scratch(arena, config)),
      branch(arena.tensor(Element::f32, rows.count, config.model.width, Account::scratch)),
      partials{arena.matrix<float>(nn::norm_partials(rows, config.model.width), config.model.width, Account::scratch),
               {}},
      layer(arena, config, layout, rows.branch) {
  for (int b = 0; b < config.model.blocks && !dense; ++b)  // a memory of its own, so before take_working
    if (whole_block_recomputed(config, b) && config.block_experts(b) == 0)
      dense = make_dense(arena, config, Account::scratch, rows);
}

void BlockScratch::take_working(Arena& arena, const nn::Rows& rows, const Config& config, int threads) {
  attention->take_working(arena, rows, config, threads);
  arena.count_as(Account::scratch, [&] {
    for (int b = 0; b < config.model.blocks && !values; ++b)
      if (whole_block_recomputed(config, b)) values = std::make_shared<BlockValues>(arena, rows, config, *attention);
    layer.take_scores(arena, config, rows);
  });
}

BlockPass::BlockPass(Arena& arena, const nn::Rows& lane_rows, const BlockPlace& place, moe::ExpertRows* experts,
                     BlockScratch& shared_scratch)
    : scratch(shared_scratch), rows(lane_rows) {
  const Config& config = place.config;
  const bool again = whole_block_recomputed(config, place.block);
  values = again ? scratch.values : std::make_shared<BlockValues>(arena, rows, config, *scratch.attention);
  if (experts)
    moe = std::make_unique<moe::LayerPass>(arena, rows, config, place.layout, *experts, scratch.layer);
  else
    dense = again ? scratch.dense : make_dense(arena, config, Account::activations, rows);
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
  BlockValues& values = *pass.values;
  switch (stage) {
    case schedule::Stage::attention:
      return attend(queue, stream.x, pass);
    case schedule::Stage::feed_forward:
      feed_forward_norm_.forward(queue, values.middle, values.feed_forward_in, values.feed_forward_norm, stream.y);
      if (moe_) return moe_->begin(tokens, values.feed_forward_in, *pass.moe);
      return dense_->forward(queue, pass.rows.network().networks, values.feed_forward_in,
                             {stream.y, products::Write::add}, pass.dense->rows(0, pass.rows.count));
    default:
      moe_->forward(queue, stage, stream.y, *pass.moe);
  }
}

/// middle(N, d) = x + attention(norm(x)).
void Block::attend(const Queue& queue, const Tensor& x, BlockPass& pass) const {
  BlockValues& values = *pass.values;
  attention_norm_.forward(queue, x, values.attention_in, values.attention_norm, values.middle);
  attention_->forward(queue, *pass.scratch.attention, values.attention_in, values.middle, *values.attention);
}

void Block::recompute(const Queue& queue, schedule::Stage stage, const Tensor& x, BlockPass& pass) const {
  BlockValues& values = *pass.values;
  queue.join();  // what is made again stands where another block had its own
  switch (stage) {
    case schedule::Stage::attention:
      return attend(queue, x, pass);
    case schedule::Stage::feed_forward:
      feed_forward_norm_.forward(queue, values.middle, values.feed_forward_in, values.feed_forward_norm);
      if (dense_)
        dense_->recompute(queue, pass.rows.network().networks, values.feed_forward_in,
                          pass.dense->rows(0, pass.rows.count));
      return;
    default:
      moe_->recompute(queue, stage, *pass.moe);
  }
}

void Block::backward(const Queue& queue, schedule::Stage stage, const nn::StreamGradient& d, BlockPass& pass) const {
  const BlockScratch& scratch = pass.scratch;
  const BlockValues& values = *pass.values;
  switch (stage) {
    case schedule::Stage::feed_forward:
      if (dense_)
        dense_->backward(queue, pass.rows.network(), values.feed_forward_in, d, {scratch.branch},
                         pass.dense->rows(0, pass.rows.count));
      return feed_forward_norm_.backward(queue, pass.rows, scratch.branch, d, values.feed_forward_norm,
                                         scratch.partials);
    case schedule::Stage::attention:
      attention_->backward(queue, *scratch.attention, d, scratch.branch, *values.attention);
      return attention_norm_.backward(queue, pass.rows, scratch.branch, d, values.attention_norm, scratch.partials);
    default:
      moe_->backward(queue, stage, d, scratch.branch, *pass.moe);
  }
}

}  // namespace switchyard::model
