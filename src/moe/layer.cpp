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
        width(context.config.model.width),
        router(context, block),
        transfer(context, block, width),
        dispatch(transfer, width),
        combine(transfer, width),
        experts(context.parameters, prefix(block, "experts"), context.config.model.activation) {
    if (context.config.moe.shared_experts > 0)
      shared.emplace(context.parameters, prefix(block, "shared"), context.config.model.activation);
  }
  State(const State&) = delete;

  void make_plan(LayerPass& pass) const;
  void run_experts(LayerPass& pass) const;
  void run_experts_backward(LayerPass& pass) const;

  LayerContext context;
  int width;
  RouterStage router;
  Transfer transfer;
  Dispatch dispatch;
  Combine combine;
  nn::FeedForward experts;
  std::optional<nn::FeedForward> shared;
  LayerStatistics statistics;
};

namespace {

nn::NetworkRows expert_rows(const Plan& plan) { return {plan.expert_offsets(), plan.piece_offsets(), plan.pieces()}; }

}  // namespace

void Layer::State::make_plan(LayerPass& pass) const {
  const bool by_grains = pass.tokens.pass == Pass::train && context.groups.layout.determinism == Determinism::layout;
  pass.plan.build(pass.routing.choice(), by_grains ? Pieces::grains : Pieces::ranks, context.groups.expert,
                  context.exchange);
  context.timers.bytes[static_cast<int>(Phase::plan)] += pass.plan.bytes_sent();
}

void Layer::State::run_experts(LayerPass& pass) const {
  pass.outputs.reserve(pass.plan.expert_rows() * width);
  experts.forward(expert_rows(pass.plan), pass.rows.data(), pass.outputs.data(), blas::Write::replace, pass.experts);
}

/// The gradient of the experts' input takes the place of the input.
void Layer::State::run_experts_backward(LayerPass& pass) const {
  experts.backward(expert_rows(pass.plan), pass.rows.data(), pass.outputs.data(), pass.rows.data(),
                   blas::Write::replace, pass.experts);
}

Layer::Layer(const LayerContext& context, int block) : state_(std::make_unique<State>(context, block)) {}
Layer::~Layer() = default;

void Layer::begin(const TokenSet& tokens, const Matrix<float>& x, LayerPass& pass) const {
  pass.tokens = tokens;
  pass.x = x;
}

void Layer::forward(schedule::Stage stage, const Matrix<float>& y, LayerPass& pass) const {
  const State& s = *state_;
  switch (stage) {
    case Stage::router:
      return s.router.forward(pass.tokens, pass.x, pass.routing);
    case Stage::plan:
      return s.make_plan(pass);
    case Stage::dispatch:
      return s.dispatch.start(pass.trip(), pass.x, pass.rows);
    case Stage::dispatch_finish:
      return s.dispatch.finish(pass.trip(), pass.rows);
    case Stage::experts:
      return s.run_experts(pass);
    case Stage::combine:
      return s.combine.start(pass.trip(), pass.outputs, pass.combine);
    case Stage::combine_finish:
      return s.combine.finish(pass.trip(), pass.routing.choice().weight, y, pass.combine);
    case Stage::shared:
      return s.shared->forward(pass.token_rows.network(), pass.x.data(), y.data(), blas::Write::add, *pass.shared);
    default:
      expect(false, "a stage of a mixture of experts");
  }
}

// dx is the router's gradient, plus the sum of the experts', plus the shared network's: three terms in this order.
void Layer::backward(schedule::Stage stage, const Matrix<float>& dy, const Matrix<float>& dx, LayerPass& pass) const {
  const State& s = *state_;
  const Vector<float>& d_weights = pass.scratch.d_weights;
  switch (stage) {
    case Stage::combine:
      return s.combine.start_backward(pass.trip(), dy, pass.routing.choice().weight, d_weights, pass.outputs,
                                      pass.combine);
    case Stage::combine_finish:
      return s.combine.finish_backward(pass.trip(), pass.outputs);
    case Stage::experts:
      return s.run_experts_backward(pass);
    case Stage::router:
      return s.router.backward(d_weights, dx, pass.routing);
    case Stage::dispatch:
      return s.dispatch.start_backward(pass.trip(), pass.rows.data());
    case Stage::dispatch_finish:
      return s.dispatch.finish_backward(pass.trip(), pass.rows.data(), dx);
    case Stage::shared:
      return s.shared->backward(pass.token_rows.network(), pass.x.data(), dy.data(), dx.data(), blas::Write::add,
                                *pass.shared);
    default:
      expect(false, "a stage of a mixture of experts, backwards");
  }
}

void Layer::offer_statistics(LayerPass& pass, comm::JointSum& sum) const {
  state_->router.offer_statistics(pass.routing, sum);
}

void Layer::take_statistics(const comm::JointSum& sum, LayerPass& pass) {
  State& s = *state_;
  s.router.take_statistics(sum, pass.routing);
  s.statistics = s.router.statistics();
  s.statistics.traffic = pass.plan.traffic();
}

void Layer::update_bias(std::int64_t step) { state_->router.update_bias(step); }
const LayerStatistics& Layer::statistics() const { return state_->statistics; }
int Layer::experts() const { return state_->router.experts(); }
std::vector<float> Layer::bias() const { return state_->router.bias(); }
void Layer::set_bias(const std::vector<float>& bias) { state_->router.set_bias(bias); }

}  // namespace switchyard::moe
