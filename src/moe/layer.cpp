// The stages of one mixture-of-experts layer, forwards and backwards, one line each; their order stands in
// schedule/serial.cpp.
#include "moe/layer.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "moe/combine.hpp"
#include "moe/dispatch.hpp"
#include "moe/plan.hpp"
#include "moe/router.hpp"
#include "moe/rows.hpp"
#include "nn/feed_forward.hpp"

namespace switchyard::moe {
namespace {

using schedule::Stage;

std::string prefix(int block, const char* part) { return "blocks." + std::to_string(block) + ".moe." + part; }

}  // namespace

struct Layer::State {
  State(const LayerContext& shared_context, int block_index)
      : context(shared_context),
        width(context.config.model.width),
        router(context, block_index),
        plan(context.groups, context.exchange, context.config.block_experts(block_index), context.config.moe.top_k),
        transfer(context, block_index, width),
        dispatch(transfer, width),
        combine(transfer, width),
        experts(context.parameters, prefix(block_index, "experts"), context.config.model.activation) {
    if (context.config.moe.shared_experts > 0)
      shared.emplace(context.parameters, prefix(block_index, "shared"), context.config.model.activation);
  }

  void begin(const TokenSet& new_tokens, const Matrix<float>& input);
  void route() { choice = router.forward(tokens, x); }
  void make_plan();
  void run_experts();
  void run_experts_backward();
  Matrix<float> weight_gradient();

  nn::NetworkRows expert_rows() const { return {plan.expert_offsets(), plan.piece_offsets(), plan.pieces()}; }

  LayerContext context;
  int width;
  RouterStage router;
  Plan plan;
  Transfer transfer;
  Dispatch dispatch;
  Combine combine;
  nn::FeedForward experts;
  std::optional<nn::FeedForward> shared;
  nn::TokenRows token_rows;  ///< of the shared network
  TokenSet tokens;
  Choice choice;
  LayerStatistics statistics;
  Matrix<float> x;          ///< (N, d) the caller's
  Vector<float> rows;       ///< (expert_rows, d) into the experts; in backward its gradient
  Vector<float> outputs;    ///< (expert_rows, d) out of the experts; in backward its gradient
  Vector<float> d_weights;  ///< (N, k)
};

void Layer::State::begin(const TokenSet& new_tokens, const Matrix<float>& input) {
  tokens = new_tokens;
  x = input;
  const Index grain_rows = Index{tokens.grain_sequences} * tokens.context;
  std::vector<Index> grains;
  for (Index first = 0; first <= tokens.tokens(); first += grain_rows) grains.push_back(first);
  token_rows.cut(std::move(grains));
}

void Layer::State::make_plan() {
  plan.build(tokens.tokens(), tokens.pass == Pass::train, choice.expert, choice.kept);
  context.timers.bytes[static_cast<int>(Phase::plan)] += plan.bytes_sent();
}

void Layer::State::run_experts() {
  reserve(outputs, "moe::layer::outputs", plan.expert_rows() * width);
  experts.forward(expert_rows(), rows.data(), outputs.data(), blas::Write::replace);
}

/// The gradient of the experts' input takes the place of the input.
void Layer::State::run_experts_backward() {
  experts.backward(expert_rows(), rows.data(), outputs.data(), rows.data(), blas::Write::replace);
}

/// Room for the gradient of the combine weights, (N, k).
Matrix<float> Layer::State::weight_gradient() {
  reserve(d_weights, "moe::layer::d_weights", plan.tokens() * plan.top_k());
  return Matrix<float>(d_weights.data(), plan.tokens(), plan.top_k());
}

Layer::Layer(const LayerContext& context, int block) : state_(std::make_unique<State>(context, block)) {}
Layer::~Layer() = default;

void Layer::begin(const TokenSet& tokens, const Matrix<float>& x) { state_->begin(tokens, x); }

void Layer::forward(schedule::Stage stage, const Matrix<float>& y) {
  State& s = *state_;
  switch (stage) {
    case Stage::router:
      return s.route();
    case Stage::plan:
      return s.make_plan();
    case Stage::dispatch:
      return s.dispatch.start(s.plan, s.x, s.tokens.step, s.rows);
    case Stage::dispatch_finish:
      return s.dispatch.finish(s.plan, s.rows);
    case Stage::experts:
      return s.run_experts();
    case Stage::combine:
      return s.combine.start(s.plan, s.outputs, s.tokens.step);
    case Stage::combine_finish:
      return s.combine.finish(s.plan, s.choice.weight, y);
    case Stage::shared:
      return s.shared->forward(s.token_rows.rows(), s.x.data(), y.data(), blas::Write::add);
    default:
      expect(false, "a stage of a mixture of experts");
  }
}

// dx is the router's gradient, plus the sum of the experts', plus the shared network's: three terms in this order.
void Layer::backward(schedule::Stage stage, const Matrix<float>& dy, const Matrix<float>& dx) {
  State& s = *state_;
  switch (stage) {
    case Stage::combine:
      return s.combine.start_backward(s.plan, dy, s.choice.weight, s.tokens.step, s.weight_gradient(), s.outputs);
    case Stage::combine_finish:
      return s.combine.finish_backward(s.plan, s.outputs);
    case Stage::experts:
      return s.run_experts_backward();
    case Stage::router:
      return s.router.backward(s.weight_gradient(), dx);
    case Stage::dispatch:
      return s.dispatch.start_backward(s.plan, s.rows, s.tokens.step);
    case Stage::dispatch_finish:
      return s.dispatch.finish_backward(s.plan, dx);
    case Stage::shared:
      return s.shared->backward(s.token_rows.rows(), s.x.data(), dy.data(), dx.data(), blas::Write::add);
    default:
      expect(false, "a stage of a mixture of experts, backwards");
  }
}

void Layer::offer_statistics(comm::JointSum& sum) { state_->router.offer_statistics(sum); }

void Layer::take_statistics(const comm::JointSum& sum) {
  State& s = *state_;
  s.router.take_statistics(sum);
  s.statistics = s.router.statistics();
  s.statistics.traffic = s.plan.traffic();
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
