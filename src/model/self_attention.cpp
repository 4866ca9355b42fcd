// The attention half of a block.
#include "model/self_attention.hpp"

namespace switchyard::model {

namespace {

AttentionShape shape_of(const Config& config, Index sequences) {
  return {sequences, config.model.context, config.model.heads, config.kv_heads(), config.head_dim()};
}

}  // namespace

AttentionPass::AttentionPass(Arena& arena, const nn::Rows& rows, const Config& config)
    : shape(shape_of(config, rows.sequences)) {
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

void SelfAttention::forward(const nn::Rows& rows, const Rope& rope, const AttentionScratch& scratch,
                            const Matrix<float>& x, const Matrix<float>& y, AttentionPass& pass) const {
  const AttentionState& state = pass.state;
  pass.x = x;
  q_.forward(rows, x, state.q);
  k_.forward(rows, x, state.k);
  v_.forward(rows, x, state.v);
  rope.forward(rows, state.q);
  rope.forward(rows, state.k);
  attention_forward(pass.shape, state, scratch.working);
  o_.forward(rows, state.out, y, blas::Write::add);
}

void SelfAttention::backward(const nn::Rows& rows, const Rope& rope, const AttentionScratch& scratch,
                             const Matrix<float>& dy, const Matrix<float>& dx, const AttentionPass& pass) const {
  const AttentionGradient& gradient = scratch.gradient;
  o_.weight_gradient(rows, dy, pass.state.out);
  o_.input_gradient(rows, dy, gradient.out);
  attention_backward(pass.shape, pass.state, gradient, scratch.working);
  rope.backward(rows, gradient.q);
  rope.backward(rows, gradient.k);
  q_.weight_gradient(rows, gradient.q, pass.x);
  k_.weight_gradient(rows, gradient.k, pass.x);
  v_.weight_gradient(rows, gradient.v, pass.x);
  q_.input_gradient(rows, gradient.q, dx);
  k_.input_gradient(rows, gradient.k, dx, blas::Write::add);
  v_.input_gradient(rows, gradient.v, dx, blas::Write::add);
}

}  // namespace switchyard::model
