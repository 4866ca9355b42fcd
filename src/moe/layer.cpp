// The stages of one mixture-of-experts layer, forwards and backwards, one line each; their order stands in
// schedule/serial.cpp.
#include "moe/layer.hpp"

#include <optional>
#include <string>

#include "base/check.hpp"
#include "moe/dispatch.hpp"
#include "moe/layer_pass.hpp"
#include "moe/router.hpp"

namespace switchyard::moe {
namespace {

using schedule::Stage;

std::string prefix(int block, const char* part) { return "blocks." + std::to_string(block) + ".moe." + part; }

}  // namespace

struct Layer::State {
  State(const LayerContext& shared_context, int block)
      : context(shared_context),
        router(context, block),
        transfer(context, block, context.config.model.width),
        dispatch(transfer),
        combine(transfer),
        experts(context.parameters, prefix(block, "experts"), context.config.model.activation) {
    if (context.config.moe.shared_experts > 0)
      shared.emplace(context.parameters, prefix(block, "shared"), context.config.model.activation);
  }
  State(const State&) = delete;

  void make_plan(const Queue& queue, LayerPass& pass) const;
  void run_experts(const Queue& queue, LayerPass& pass) const;
  void run_experts_backward(const Queue& queue, LayerPass& pass) const;

  LayerContext context;
  RouterStage router;
  Transfer transfer;
  Dispatch dispatch;
  Combine combine;
  nn::FeedForward experts;
  std::optional<nn::FeedForward> shared;
  LayerStatistics statistics;
};

namespace {

nn::NetworkRows expert_rows(const Plan& plan) {
  return {products::consecutive(plan.expert_offsets()), products::consecutive(plan.piece_offsets()), plan.pieces()};
}

}  // namespace

void Layer::State::make_plan(const Queue& queue, LayerPass& pass) const {
  const bool by_grains = pass.tokens.pass == Pass::train && context.groups.layout.determinism == Determinism::layout;
  pass.plan.build(queue, pass.routing.choice(), by_grains ? Pieces::grains : Pieces::ranks, context.groups.expert,
                  context.exchange);
  context.timers.bytes[static_cast<int>(Phase::plan)] += pass.plan.bytes_sent();
}

void Layer::State::run_experts(const Queue& queue, LayerPass& pass) const {
  const Index n = pass.plan.expert_rows();
  pass.outputs.reserve(n);
  experts.forward(queue, expert_rows(pass.plan), pass.rows.rows(n), {pass.outputs.rows(n)}, pass.experts);
}

/// The gradient of the experts' input takes the place of the input.
void Layer::State::run_experts_backward(const Queue& queue, LayerPass& pass) const {
  const Index n = pass.plan.expert_rows();
  experts.backward(queue, expert_rows(pass.plan), pass.rows.rows(n), pass.outputs.rows(n), {pass.rows.rows(n)},
                   pass.experts);
}

Layer::Layer(const LayerContext& context, int block) : state_(std::make_unique<State>(context, block)) {}
Layer::~Layer() = default;

void Layer::begin(const TokenSet& tokens, const Tensor& x, LayerPass& pass) const {
  pass.tokens = tokens;
  pass.x = x;
}

void Layer::forward(const Queue& queue, schedule::Stage stage, const Tensor& y, LayerPass& pass) const {
  const State& s = *state_;
  switch (stage) {
    case Stage::router:
      return s.router.forward(queue, pass.tokens, pass.x, pass.routing);
    case Stage::plan:
      return s.make_plan(queue, pass);
    case Stage::dispatch:
      return s.dispatch.start(queue, pass.trip(), pass.x, pass.rows);
    case Stage::dispatch_finish:
      return s.dispatch.finish(queue, pass.trip(), pass.rows);
    case Stage::experts:
      return s.run_experts(queue, pass);
    case Stage::combine:
      return s.combine.start(queue, pass.trip(), pass.outputs, pass.combine);
    case Stage::combine_finish:
      return s.combine.finish(queue, pass.trip(), pass.routing.choice().weight, y, pass.combine);
    case Stage::shared:
      return s.shared->forward(queue, pass.token_rows.network(), pass.x, {y, products::Write::add}, *pass.shared);
    default:
      expect(false, "a stage of a mixture of experts");
  }
}

// dx is the router's gradient, plus the sum of the experts', plus the shared network's: three terms in this order.
void Layer::backward(const Queue& queue, schedule::Stage stage, const Tensor& dy, const Tensor& dx,
                     LayerPass& pass) const {
  const State& s = *state_;
  const Vector<float>& d_weights = pass.scratch.d_weights;
  switch (stage) {
    case Stage::combine:
      return s.combine.start_backward(queue, pass.trip(), dy, {pass.routing.choice().weight, d_weights}, pass.outputs,
                                      pass.combine);
    case Stage::combine_finish:
      return s.combine.finish_backward(queue, pass.trip(), pass.outputs);
    case Stage::experts:
      return s.run_experts_backward(queue, pass);
    case Stage::router:
      return s.router.backward(queue, d_weights, dx, pass.routing);
    case Stage::dispatch:
      return s.dispatch.start_backward(queue, pass.trip(), pass.rows);
    case Stage::dispatch_finish:
      return s.dispatch.finish_backward(queue, pass.trip(), pass.rows, dx);
    case Stage::shared:
      return s.shared->backward(queue, pass.token_rows.network(), pass.x, dy, {dx, products::Write::add}, *pass.shared);
    default:
      expect(false, "a stage of a mixture of experts, backwards");
  }
}

void Layer::offer_statistics(const Queue& queue, LayerPass& pass, comm::JointSum& sum) const {
  state_->router.offer_statistics(queue, pass.routing, sum);
}

void Layer::take_statistics(const comm::JointSum& sum, LayerPass& pass) {
  State& s = *state_;
  s.statistics = s.router.take_statistics(sum, pass.routing);
  s.statistics.traffic = pass.plan.traffic();
}

void Layer::update_bias(const Queue& queue, std::int64_t step) { state_->router.update_bias(queue, step); }
const LayerStatistics& Layer::statistics() const { return state_->statistics; }
int Layer::experts() const { return state_->router.experts(); }
std::vector<float> Layer::bias() const { return state_->router.bias(); }
void Layer::set_bias(const Queue& queue, const std::vector<float>& bias) { state_->router.set_bias(queue, bias); }

}  // namespace switchyard::moe
