// The stages of one mixture-of-experts layer, forwards and backwards, one line each.
#include "moe/layer.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include "moe/combine.hpp"
#include "moe/dispatch.hpp"
#include "moe/plan.hpp"
#include "moe/router.hpp"
#include "moe/rows.hpp"
#include "nn/feed_forward.hpp"
#include "tensor/region.hpp"

namespace switchyard::moe {
namespace {

std::string prefix(int block, const char* part) { return "blocks." + std::to_string(block) + ".moe." + part; }

}  // namespace

struct Layer::State {
  State(const LayerContext& shared_context, int block_index)
      : context(shared_context),
        width(context.config.model.width),
        router(context, block_index),
        plan(context.groups, context.config.block_experts(block_index), context.config.moe.top_k),
        transfer(context, block_index, width),
        dispatch(context, transfer, width),
        combine(context, transfer, width),
        experts(context.parameters, prefix(block_index, "experts"), context.config.model.activation) {
    if (context.config.moe.shared_experts > 0)
      shared.emplace(context.parameters, prefix(block_index, "shared"), context.config.model.activation);
  }

  void cut_tokens(const TokenSet& tokens);
  void make_plan(const TokenSet& tokens);
  void run_experts();
  void run_experts_backward();
  void run_shared(const Matrix<float>& y);
  void run_shared_backward(const Matrix<float>& dy, const Matrix<float>& dx);
  nn::NetworkRows expert_rows() const { return {plan.expert_offsets(), plan.piece_offsets(), plan.pieces()}; }
  nn::NetworkRows token_rows() const {
    return {token_offsets, token_piece_offsets, static_cast<int>(token_piece_offsets.size()) - 1};
  }

  LayerContext context;
  int width;
  RouterStage router;
  Plan plan;
  Transfer transfer;
  Dispatch dispatch;
  Combine combine;
  nn::FeedForward experts;
  std::optional<nn::FeedForward> shared;
  std::vector<Index> token_offsets, token_piece_offsets;  ///< all tokens, and cut at grains: rows of the shared network
  std::int64_t step = 0;
  Choice choice;
  LayerStatistics statistics;
  Matrix<float> x;          ///< (N, d) the caller's
  Vector<float> rows;       ///< (expert_rows, d) into the experts; in backward its gradient
  Vector<float> outputs;    ///< (expert_rows, d) out of the experts; in backward its gradient
  Vector<float> d_weights;  ///< (N, k)
};

void Layer::State::cut_tokens(const TokenSet& tokens) {
  const Index grains = context.groups.layout.my_grains().size();
  const Index pieces = tokens.pass == Pass::train ? grains : 1;
  token_offsets = {0, tokens.tokens()};
  token_piece_offsets.assign(pieces + 1, 0);
  for (Index g = 1; g <= pieces; ++g) token_piece_offsets[g] = tokens.tokens() * g / pieces;
}

void Layer::State::make_plan(const TokenSet& tokens) {
  const Region region(context.timers, Phase::plan);
  plan.build(tokens.tokens(), tokens.pass == Pass::train, choice.expert, choice.kept);
  context.timers.bytes[static_cast<int>(Phase::plan)] += plan.bytes_sent();
}

void Layer::State::run_experts() {
  const Region region(context.timers, Phase::experts);
  reserve(outputs, "moe::layer::outputs", plan.expert_rows() * width);
  experts.forward(expert_rows(), rows.data(), outputs.data(), blas::Write::replace);
}

/// The gradient of the experts' input takes the place of the input.
void Layer::State::run_experts_backward() {
  const Region region(context.timers, Phase::experts);
  experts.backward(expert_rows(), rows.data(), outputs.data(), rows.data(), blas::Write::replace);
}

void Layer::State::run_shared(const Matrix<float>& y) {
  const Region region(context.timers, Phase::experts);
  if (shared) shared->forward(token_rows(), x.data(), y.data(), blas::Write::add);
}

void Layer::State::run_shared_backward(const Matrix<float>& dy, const Matrix<float>& dx) {
  const Region region(context.timers, Phase::experts);
  if (shared) shared->backward(token_rows(), x.data(), dy.data(), dx.data(), blas::Write::add);
}

Layer::Layer(const LayerContext& context, int block) : state_(std::make_unique<State>(context, block)) {}
Layer::~Layer() = default;

void Layer::forward(const TokenSet& tokens, Matrix<float> x, Matrix<float> y) {
  State& s = *state_;
  s.x = x;
  s.step = tokens.step;
  s.cut_tokens(tokens);
  s.choice = s.router.forward(tokens, x);
  s.make_plan(tokens);
  s.dispatch.forward(s.plan, x, s.step, s.rows);
  s.run_experts();
  s.combine.forward(s.plan, s.outputs, s.choice.weight, s.step, y);
  s.run_shared(y);
}

void Layer::offer_statistics(comm::JointSum& sum) { state_->router.offer_statistics(sum); }

void Layer::take_statistics(const comm::JointSum& sum) {
  State& s = *state_;
  s.router.take_statistics(sum);
  s.statistics = s.router.statistics();
  s.statistics.traffic = s.plan.traffic();
}

// dx is the router's gradient, plus the sum of the experts', plus the shared network's: three terms in this order.
void Layer::backward(Matrix<float> dy, Matrix<float> dx) {
  State& s = *state_;
  const Index tokens = s.plan.tokens();
  reserve(s.d_weights, "moe::layer::d_weights", tokens * s.plan.top_k());
  const Matrix<float> d_weight(s.d_weights.data(), tokens, s.plan.top_k());
  s.combine.backward(s.plan, dy, s.choice.weight, s.step, d_weight, s.outputs);
  s.run_experts_backward();
  s.router.backward(d_weight, dx);
  s.dispatch.backward(s.plan, s.rows, s.step, dx);
  s.run_shared_backward(dy, dx);
}

void Layer::update_bias(std::int64_t step) { state_->router.update_bias(step); }
const LayerStatistics& Layer::statistics() const { return state_->statistics; }
int Layer::experts() const { return state_->router.experts(); }
std::vector<float> Layer::bias() const { return state_->router.bias(); }
void Layer::set_bias(const std::vector<float>& bias) { state_->router.set_bias(bias); }

RoutingSample Layer::sample() const {
  const Choice& c = state_->choice;
  return {host_values(c.expert), host_values(c.weight), host_values(c.kept)};
}

int Layer::first_non_finite_expert() const {
  const State& s = *state_;
  const Index row = rows::first_made_non_finite(s.plan.expert_rows(), s.width, s.rows.data(), s.outputs.data());
  if (row < 0) return -1;
  const std::vector<Index>& offsets = s.plan.expert_offsets();
  const auto next = std::upper_bound(offsets.begin(), offsets.end(), row);
  return s.plan.first_expert() + static_cast<int>(next - offsets.begin()) - 1;
}

}  // namespace switchyard::moe
