// The attention half of a block.
#include "model/self_attention.hpp"

namespace switchyard::model {

namespace {

AttentionShape shape_of(const Config& config, Index sequences) {
  return {sequences, config.model.context, config.model.heads, config.kv_heads(), config.head_dim()};
}

}  // namespace

AttentionPass::AttentionPass(Arena& arena, const nn::Rows& lane_rows, const Rope& angles, const Config& config)
    : shape(shape_of(config, lane_rows.sequences)), rows(lane_rows), rope(angles) {
  const Index width = config.model.width, kv_width = Index{config.kv_heads()} * config.head_dim();
  state.q = arena.matrix<float>(rows.count, width);
  state.k = arena.matrix<float>(rows.count, kv_width);
  state.v = arena.matrix<float>(rows.count, kv_width);
  state.out = arena.matrix<float>(rows.count, width);
  state.log_sum = arena.matrix<float>(shape.heads, rows.count);
}

AttentionScratch::AttentionScratch(Arena& arena, const nn::Rows& rows, const Config& config, int threads) {
  const Index width = config.model.width, kv_width = Index{config.kv_heads()} * config.head_dim();
  gradient.out = arena.matrix<float>(rows.count, width, Account::scratch);
  gradient.q = arena.matrix<float>(rows.count, width, Account::scratch);
  gradient.k = arena.matrix<float>(rows.count, kv_width, Account::scratch);
  gradient.v = arena.matrix<float>(rows.count, kv_width, Account::scratch);
  working = arena.vector<float>(attention_memory(shape_of(config, rows.sequences), threads), Account::scratch);
}

SelfAttention::SelfAttention(const ParameterSet& parameters, const std::string& prefix)
    : q_(parameters, prefix + ".q.weight"),
      k_(parameters, prefix + ".k.weight"),
      v_(parameters, prefix + ".v.weight"),
      o_(parameters, prefix + ".o.weight") {}

void SelfAttention::forward(const Queue& queue, const AttentionScratch& scratch, const Tensor& x, const Tensor& y,
                            AttentionPass& pass) const {
  const AttentionState& state = pass.state;
  pass.x = x;
  q_.forward(queue, x, state.q);
  k_.forward(queue, x, state.k);
  v_.forward(queue, x, state.v);
  pass.rope.forward(queue, state.q);
  pass.rope.forward(queue, state.k);
  attention_forward(queue, pass.shape, state, scratch.working);
  o_.forward(queue, state.out, y, products::Write::add);
}

void SelfAttention::backward(const Queue& queue, const AttentionScratch& scratch, const Tensor& dy, const Tensor& dx,
                             const AttentionPass& pass) const {
  const AttentionGradient& gradient = scratch.gradient;
  o_.weight_gradient(queue, pass.rows, dy, pass.state.out);
  o_.input_gradient(queue, dy, gradient.out);
  attention_backward(queue, pass.shape, pass.state, gradient, scratch.working);
  pass.rope.backward(queue, gradient.q);
  pass.rope.backward(queue, gradient.k);
  q_.weight_gradient(queue, pass.rows, gradient.q, pass.x);
  k_.weight_gradient(queue, pass.rows, gradient.k, pass.x);
  v_.weight_gradient(queue, pass.rows, gradient.v, pass.x);
  q_.input_gradient(queue, gradient.q, dx);
  k_.input_gradient(queue, gradient.k, dx, products::Write::add);
  v_.input_gradient(queue, gradient.v, dx, products::Write::add);
}

}  // namespace switchyard::model
