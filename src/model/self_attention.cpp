// The attention half of a block.
#include "model/self_attention.hpp"

namespace switchyard::model {

namespace {

AttentionShape shape_of(const Config& config, Index sequences) {
  return {sequences, config.model.context, config.model.heads, config.kv_heads(), config.head_dim()};
}

}  // namespace

AttentionScratch::AttentionScratch(const nn::Rows& rows, const Config& config) {
  const Index width = config.model.width, kv_width = Index{config.kv_heads()} * config.head_dim();
  gradient.out = make_view<Matrix<float>>("model::attention::d_out", rows.count, width);
  gradient.q = make_view<Matrix<float>>("model::attention::d_q", rows.count, width);
  gradient.k = make_view<Matrix<float>>("model::attention::d_k", rows.count, kv_width);
  gradient.v = make_view<Matrix<float>>("model::attention::d_v", rows.count, kv_width);
  working = make_view<Vector<float>>("model::attention::scratch", attention_memory(shape_of(config, rows.sequences)));
}

SelfAttention::SelfAttention(const ParameterSet& parameters, const std::string& prefix, const Config& config)
    : q_(parameters, prefix + ".q.weight"),
      k_(parameters, prefix + ".k.weight"),
      v_(parameters, prefix + ".v.weight"),
      o_(parameters, prefix + ".o.weight"),
      shape_(shape_of(config, 0)) {}

void SelfAttention::allocate(const nn::Rows& rows) {
  shape_.sequences = rows.sequences;
  state_.q = make_view<Matrix<float>>("model::attention::q", rows.count, q_.out());
  state_.k = make_view<Matrix<float>>("model::attention::k", rows.count, k_.out());
  state_.v = make_view<Matrix<float>>("model::attention::v", rows.count, v_.out());
  state_.out = make_view<Matrix<float>>("model::attention::out", rows.count, q_.out());
  state_.log_sum = make_view<Matrix<float>>("model::attention::log_sum", shape_.heads, rows.count);
}

void SelfAttention::forward(const nn::Rows& rows, const Rope& rope, const AttentionScratch& scratch,
                            const Matrix<float>& x, const Matrix<float>& y) {
  x_ = x;
  q_.forward(rows, x, state_.q);
  k_.forward(rows, x, state_.k);
  v_.forward(rows, x, state_.v);
  rope.forward(rows, state_.q);
  rope.forward(rows, state_.k);
  attention_forward(shape_, state_, scratch.working);
  o_.forward(rows, state_.out, y, blas::Write::add);
}

void SelfAttention::backward(const nn::Rows& rows, const Rope& rope, const AttentionScratch& scratch,
                             const Matrix<float>& dy, const Matrix<float>& dx) const {
  const AttentionGradient& gradient = scratch.gradient;
  o_.weight_gradient(rows, dy, state_.out);
  o_.input_gradient(rows, dy, gradient.out);
  attention_backward(shape_, state_, gradient, scratch.working);
  rope.backward(rows, gradient.q);
  rope.backward(rows, gradient.k);
  q_.weight_gradient(rows, gradient.q, x_);
  k_.weight_gradient(rows, gradient.k, x_);
  v_.weight_gradient(rows, gradient.v, x_);
  q_.input_gradient(rows, gradient.q, dx);
  k_.input_gradient(rows, gradient.k, dx, blas::Write::add);
  v_.input_gradient(rows, gradient.v, dx, blas::Write::add);
}

}  // namespace switchyard::model
