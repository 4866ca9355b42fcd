// The stages of one mixture-of-experts layer, forwards and backwards, one line each; their order stands in
// schedule/task_list.cpp.
#include "moe/layer.hpp"

#include <optional>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "moe/journeys.hpp"
#include "moe/layer_pass.hpp"
#include "moe/router.hpp"

namespace switchyard::moe {
namespace {

using schedule::Stage;

std::string prefix(int block, const char* part) { return "blocks." + std::to_string(block) + ".moe." + part; }

std::vector<RoutingPass*> routing_of(const std::vector<LayerPass*>& lanes) {
  std::vector<RoutingPass*> routing;
  for (LayerPass* pass : lanes) routing.push_back(&pass->routing);
  return routing;
}

}  // namespace

struct Layer::State {
  State(const LayerContext& shared_context, int block)
      : context(shared_context),
        router(context, block),
        journeys(make_journeys(context, block)),
        experts(context.parameters, prefix(block, "experts"), context.config.model.activation) {
    if (context.config.moe.shared_experts > 0)
      shared.emplace(context.parameters, prefix(block, "shared"), context.config.model.activation);
  }
  State(const State&) = delete;

  void make_plan(const Queue& queue, LayerPass& pass) const;
  void take_rows(const Queue& queue, LayerPass& pass) const;
  void run_experts(const Queue& queue, const Plan::Rows& some, LayerPass& pass) const;
  void recompute_experts(const Queue& queue, LayerPass& pass) const;
  void run_experts_backward(const Queue& queue, const Plan::Rows& some, LayerPass& pass) const;
  void sum_expert_weights(const Queue& queue, const LayerPass& pass) const;

  LayerContext context;
  RouterStage router;
  std::unique_ptr<Journeys> journeys;
  nn::FeedForward experts;
  std::optional<nn::FeedForward> shared;
  LayerStatistics statistics;
};

void Layer::State::make_plan(const Queue& queue, LayerPass& pass) const {
  const Layout& layout = context.groups.layout;
  const bool by_grains = pass.tokens.pass == Pass::train && layout.by_grains(layout.groups());
  pass.pieces = by_grains ? Pieces::grains : Pieces::ranks;
  pass.rows_known = false;
  journeys->plan(queue, pass);
  if (layout.expert_parallel == 1) take_rows(queue, pass);  // nobody else has any
}

/// As many as come have their place, by the first stage that has need of it.
void Layer::State::take_rows(const Queue& queue, LayerPass& pass) const {
  if (std::exchange(pass.rows_known, true)) return;
  journeys->plan_finish(queue, pass);
  pass.experts.take(queue, pass.lane, pass.plan);
  pass.scratch.partial.reserve(pass.plan.expert_rows());
}

void Layer::State::run_experts(const Queue& queue, const Plan::Rows& some, LayerPass& pass) const {
  const ExpertRows::Part part = pass.part(some.rows);
  experts.forward(queue, some.segments(), part.rows, {part.outputs}, part.network);
}

void Layer::State::recompute_experts(const Queue& queue, LayerPass& pass) const {
  if (pass.experts.gathered_again()) journeys->dispatch(queue, pass);  // none travels
  for (const Plan::Rows& some : {pass.plan.here(), pass.plan.others()}) {
    const ExpertRows::Part part = pass.part(some.rows);
    experts.recompute(queue, some.segments(), part.rows, part.network);
  }
}

void Layer::State::run_experts_backward(const Queue& queue, const Plan::Rows& some, LayerPass& pass) const {
  const ExpertRows::Part part = pass.part(some.rows);
  pass.scratch.d_hidden.reserve(pass.plan.expert_rows());
  experts.input_gradient(queue, some.segments(), part.outputs, {pass.d_rows().part(some.rows.first, some.rows.size())},
                         part.network, pass.scratch.d_hidden.rows(0, some.rows.size()));
}

/// Of all lanes at once.
void Layer::State::sum_expert_weights(const Queue& queue, const LayerPass& pass) const {
  const ExpertRows::Part all = pass.experts.all();
  queue.beside({}, [&](const Queue& other) {
    experts.weight_gradients(other, pass.experts.pieces(context.parameters.nodes(Placement::expert)), all.rows,
                             all.outputs, all.network);
  });
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
      return s.journeys->dispatch(queue, pass);
    case Stage::dispatch_finish:
      s.take_rows(queue, pass);
      return s.journeys->dispatch_finish(queue, pass);
    case Stage::experts_here:
      s.take_rows(queue, pass);
      s.journeys->dispatch_here(queue, pass);
      return s.run_experts(queue, pass.plan.here(), pass);
    case Stage::experts:
      return s.run_experts(queue, pass.plan.others(), pass);
    case Stage::combine:
      return s.journeys->combine(queue, pass);
    case Stage::combine_finish:
      return s.journeys->combine_finish(queue, y, pass);
    case Stage::shared:
      return s.shared->forward(queue, pass.token_rows.network().networks, pass.x, {y, products::Write::add},
                               pass.shared->rows(0, pass.x.rows));
    default:
      expect(false, "a stage of a mixture of experts");
  }
}

void Layer::recompute(const Queue& queue, schedule::Stage stage, LayerPass& pass) const {
  const State& s = *state_;
  switch (stage) {
    case Stage::router:
      return s.router.rescore(queue, pass.tokens, pass.routing);
    case Stage::experts:
      return s.recompute_experts(queue, pass);
    case Stage::shared:
      return s.shared->recompute(queue, pass.token_rows.network().networks, pass.x, pass.shared->rows(0, pass.x.rows));
    default:
      expect(false, "a stage of a mixture of experts that is made again");
  }
}

void Layer::recompute_outputs(const Queue& queue, LayerPass& pass) const {
  for (const Plan::Rows& some : {pass.plan.here(), pass.plan.others()}) state_->run_experts(queue, some, pass);
}

// dx is the router's gradient, plus the sum of the experts', plus the shared network's: three terms in this order.
void Layer::backward(const Queue& queue, schedule::Stage stage, const nn::StreamGradient& dy, const Tensor& dx,
                     LayerPass& pass) const {
  const State& s = *state_;
  switch (stage) {
    case Stage::combine:
      return s.journeys->combine_backward(queue, dy.sum, pass);
    case Stage::combine_finish:
      return s.journeys->combine_backward_finish(queue, pass);
    case Stage::experts_here:
      s.journeys->combine_backward_here(queue, pass);
      return s.run_experts_backward(queue, pass.plan.here(), pass);
    case Stage::experts:
      return s.run_experts_backward(queue, pass.plan.others(), pass);
    case Stage::expert_weights:
      return s.sum_expert_weights(queue, pass);
    case Stage::router:
      s.journeys->weights_finish(queue, pass);
      return s.router.backward(queue, pass.scratch.d_weights, dx, pass.routing);
    case Stage::dispatch:
      return s.journeys->dispatch_backward(queue, pass);
    case Stage::dispatch_finish:
      return s.journeys->dispatch_backward_finish(queue, dx, pass);
    case Stage::shared:
      return s.shared->backward(queue, pass.token_rows.network(), pass.x, dy, {dx, products::Write::add},
                                pass.shared->rows(0, pass.x.rows));
    default:
      expect(false, "a stage of a mixture of experts, backwards");
  }
}

void Layer::offer_statistics(const Queue& queue, const std::vector<LayerPass*>& lanes, comm::JointSum& sum) const {
  state_->router.offer_statistics(queue, routing_of(lanes), sum);
}

void Layer::ask_statistics(const Queue& queue, const std::vector<LayerPass*>& lanes) const {
  for (LayerPass* pass : lanes) pass->routing.load.ask(queue);
}

void Layer::statistics_later(const std::vector<LayerPass*>& lanes) const {
  for (LayerPass* pass : lanes) {
    state_->router.statistics_later(pass->routing);
    pass->plan.unsettle();
  }
}

void Layer::take_statistics(const comm::JointSum& sum, const std::vector<LayerPass*>& lanes) {
  State& s = *state_;
  s.statistics = s.router.take_statistics(sum, routing_of(lanes));
  s.statistics.traffic.assign(s.context.groups.layout.ranks, 0);
  for (LayerPass* pass : lanes) {
    pass->plan.count_traffic();
    const std::vector<std::int64_t>& traffic =
        pass->crossings.empty() ? pass->plan.traffic() : pass->crossings.front().traffic();
    for (std::size_t r = 0; r < s.statistics.traffic.size(); ++r) s.statistics.traffic[r] += traffic[r];
  }
}

void Layer::update_bias(const Queue& queue, std::int64_t step) { state_->router.update_bias(queue, step); }
const LayerStatistics& Layer::statistics() const { return state_->statistics; }
int Layer::experts() const { return state_->router.experts(); }
std::vector<float> Layer::bias() const { return state_->router.bias(); }
void Layer::set_bias(const Queue& queue, const std::vector<float>& bias) { state_->router.set_bias(queue, bias); }

}  // namespace switchyard::moe
