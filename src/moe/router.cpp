#include "moe/router.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "config/routers.hpp"

namespace switchyard::moe {
namespace {

TallyBins tally_bins(const Config& config) {
  return {config.record.margin_bins, config.moe.bias_rule == BiasRule::quantile ? config.moe.bias_bins : 0};
}

}  // namespace

Scores make_scores(Arena& arena, const Config& config, const nn::Rows& rows, int experts) {
  return make_scores(arena, experts, rows.count, traits_of(config.moe.router).tensors.size());
}

RoutingPass::RoutingPass(Arena& arena, const Config& config, const nn::Rows& rows, int experts, const Scores* scores)
    : drop(arena, config, rows, experts),
      tally(make_tally(arena, rows, experts, tally_bins(config))),
      load(arena, config, rows, tally) {
  own_scores = scores == nullptr;
  routed.rows = &rows;
  routed.scores = scores ? *scores : make_scores(arena, config, rows, experts);
  routed.choice = make_choice(arena, rows.count, config.moe.top_k);
  routed.margin = tally.token_margin;
}

RouterStage::RouterStage(const LayerContext& context, int block)
    : context_(context),
      block_(block),
      router_(make_router({context.config, context.parameters, block})),
      balancers_(make_balancers(context.config)),
      bias_(experts(), 0.0f),
      device_staged_("moe::router::bias", experts() + 2),
      device_bias_{Vector<float>(device_staged_.data(), experts()),
                   Vector<float>(device_staged_.data() + experts(), 2)} {
  stage_bias();
  Kokkos::deep_copy(device_staged_, HostVector<const float>(staged_.data(), staged_.size()));
}

void RouterStage::stage_bias() {
  const CutoffBins bins = cutoff_bins(bias_, context_.config.moe);
  staged_ = bias_;
  staged_.insert(staged_.end(), {bins.first, bins.per_unit});
}

/// Capacity of an expert in a grain.
std::int64_t RouterStage::rows_of_expert(const nn::Rows& rows) const {
  return capacity(context_.config.moe.capacity_factor, rows.grain_rows, context_.config.moe.top_k, experts());
}

void RouterStage::forward(const Queue& queue, const TokenSet& tokens, const Tensor& x, RoutingPass& pass) const {
  expect(tokens.tokens() == pass.choice().tokens(), "the tokens of a lane's grains");
  pass.routed.x = x;
  pass.kind = tokens.pass;
  pass.reduced = false;
  router_->route(queue, tokens, device_bias_.of, pass.routed);
  if (context_.config.moe.capacity_factor > 0.0 && pass.kind == Pass::train)
    pass.drop.keep_within(queue, rows_of_expert(*pass.routed.rows), pass.choice());
  const auto tally = [&](const Queue& other) {
    count(other, pass.choice(), pass.routed.scores, device_bias_, pass.tally);
  };
  pass.own_scores ? queue.beside({}, tally) : tally(queue);  // the next layer may write where these scores are
}

void RouterStage::offer_statistics(const Queue& queue, const std::vector<RoutingPass*>& lanes,
                                   comm::JointSum& sum) const {
  RankLoad all;
  for (RoutingPass* pass : lanes) pass->load.add_to(all, queue, balancers_);
  const comm::JointSum::Place place = sum.add(all.counts, all.grains, all.values);
  for (RoutingPass* pass : lanes) pass->load.await(place);
}

LayerStatistics RouterStage::take_statistics(const comm::JointSum& sum, const std::vector<RoutingPass*>& lanes) {
  LayerStatistics statistics;
  for (RoutingPass* pass : lanes) {
    statistics = pass->load.take(context_.config, balancers_, sum);
    pass->reduced = true;
  }
  statistics.block = block_;
  statistics.bias = bias_;
  if (lanes.front()->kind == Pass::train) trained_ = statistics;
  return statistics;
}

void RouterStage::statistics_later(RoutingPass& pass) const {
  expect(!any_loss(balancers_), "no loss that is made of the statistics");
  pass.reduced = true;
  pass.load.is_asked();
}

void RouterStage::backward(const Queue& queue, const Vector<float>& dweight, const Tensor& dx,
                           RoutingPass& pass) const {
  const bool in_waves = context_.config.layout.waves > 1;  // then no loss is of the whole batch
  expect((pass.reduced || in_waves) && pass.kind == Pass::train,
         "reduced statistics of a training pass before backward");
  if (pass.routed.x.rows == 0) return;
  if (!pass.reduced) pass.load.take_own(context_.config, queue);
  pass.reduced = false;  // the scores are overwritten
  const BatchLoad::Gradient of_losses = pass.load.gradient(queue, balancers_);
  router_->backward(queue, {dweight, of_losses.coefficients, of_losses.unit_tokens, of_losses.z}, pass.routed, dx);
}

void RouterStage::update_bias(const Queue& queue, std::int64_t step) {
  if (!router_->shape().biased || trained_.assigned.empty()) return;
  std::vector<float> bias = bias_;
  for (const auto& balancer : balancers_) balancer->update(step, trained_, bias);
  set_bias(queue, bias);
}

void RouterStage::set_bias(const Queue& queue, const std::vector<float>& bias) {
  expect(static_cast<int>(bias.size()) == experts(), "a bias for every expert");
  expect(router_->shape().biased || std::all_of(bias.begin(), bias.end(), [](float b) { return b == 0.0f; }),
         "no bias without a bias rule");
  bias_ = bias;
  stage_bias();
  copy(queue, device_staged_, HostVector<const float>(staged_.data(), staged_.size()));
}

}  // namespace switchyard::moe
