// The dense feed-forward of a block.
#include "model/feed_forward.hpp"

#include <cmath>

#include "tensor/activation.hpp"

namespace switchyard::model {
namespace {

std::optional<Linear> declare_gate(ParameterSet& parameters, const std::string& prefix, const ModelConfig& model) {
  if (!activation::gated(model.activation)) return std::nullopt;
  return Linear(parameters, prefix + ".gate.weight", model.hidden, model.width, model.init_std);
}

}  // namespace

FeedForward::FeedForward(ParameterSet& parameters, const std::string& prefix, const Config& config)
    : activation_(config.model.activation),
      gate_(declare_gate(parameters, prefix, config.model)),
      up_(parameters, prefix + ".up.weight", config.model.hidden, config.model.width, config.model.init_std),
      down_(parameters, prefix + ".down.weight", config.model.width, config.model.hidden,
            config.model.init_std / std::sqrt(2.0 * config.model.blocks)) {}

void FeedForward::allocate(const Rows& rows) {
  if (gate_) hidden_gate_ = make_view<Matrix<float>>("model::feed_forward::gate", rows.count, up_.out());
  hidden_up_ = make_view<Matrix<float>>("model::feed_forward::up", rows.count, up_.out());
  hidden_ = make_view<Matrix<float>>("model::feed_forward::hidden", rows.count, up_.out());
}

void FeedForward::forward(const Rows& rows, const Matrix<float>& x, const Matrix<float>& y) {
  x_ = x;
  if (rows.count == 0) return;
  if (gate_) gate_->forward(rows, x, hidden_gate_);
  up_.forward(rows, x, hidden_up_);
  activation::forward(activation_, hidden_.size(), hidden_gate_.data(), hidden_up_.data(), hidden_.data());
  down_.forward(rows, hidden_, y, blas::Write::add);
}

void FeedForward::backward(const Rows& rows, const FeedForwardScratch& scratch, const Matrix<float>& dy,
                           const Matrix<float>& dx) const {
  if (rows.count == 0) return;
  down_.weight_gradient(rows, dy, hidden_);
  down_.input_gradient(rows, dy, scratch.up);
  activation::backward(activation_, hidden_.size(), hidden_gate_.data(), hidden_up_.data(), scratch.up.data(),
                       scratch.gate.data(), scratch.up.data());
  up_.weight_gradient(rows, scratch.up, x_);
  up_.input_gradient(rows, scratch.up, dx);
  if (!gate_) return;
  gate_->weight_gradient(rows, scratch.gate, x_);
  gate_->input_gradient(rows, scratch.gate, dx, blas::Write::add);
}

}  // namespace switchyard::model
