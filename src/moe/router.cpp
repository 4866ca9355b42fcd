#include "moe/router.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "moe/capacity.hpp"

namespace switchyard::moe {

RouterStage::RouterStage(const LayerContext& context, int block)
    : context_(context),
      block_(block),
      router_(make_router({context.config, context.parameters, block})),
      balancers_(make_balancers(context.config.moe)),
      bias_(experts(), 0.0f),
      device_bias_("moe::router::bias", experts()) {}

void RouterStage::resize(const TokenSet& tokens) {
  const Index n = tokens.tokens(), sequences = tokens.sequences.size();
  const MoeConfig& moe = context_.config.moe;
  expect(sequences % tokens.grain_sequences == 0 &&
             sequences / tokens.grain_sequences == context_.groups.layout.my_grains().size(),
         "the tokens of this rank's grains");
  routed_.grain_tokens = Index{tokens.grain_sequences} * tokens.context;
  const auto& expert = routed_.choice.expert;
  if (static_cast<Index>(expert.extent(0)) == n && static_cast<Index>(tally_.assigned.extent(0)) == sequences &&
      expert.data())
    return;
  routed_.scores = make_scores(experts(), n, router_tensors(moe.router).size());
  routed_.choice = make_choice(n, moe.top_k);
  tally_ = make_tally(sequences, n, experts(), context_.config.record.margin_bins);
  routed_.margin = tally_.token_margin;
}

/// Every grain and expert drops what is over its capacity.
void RouterStage::drop() {
  const MoeConfig& moe = context_.config.moe;
  const auto expert = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), routed_.choice.expert);
  const auto weight = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), routed_.choice.weight);
  const auto kept = Kokkos::create_mirror_view(routed_.choice.kept);
  const Index grain = routed_.grain_tokens;
  const std::int64_t rows = capacity(moe.capacity_factor, grain, moe.top_k, experts());
  for (std::size_t t = 0; t < expert.extent(0); t += grain)
    keep_within(rows, moe.drop_order, {grain, moe.top_k, experts(), &expert(t, 0), &weight(t, 0)}, &kept(t, 0));
  Kokkos::deep_copy(routed_.choice.kept, kept);
}

const Choice& RouterStage::forward(const TokenSet& tokens, const Matrix<float>& x) {
  resize(tokens);
  routed_.x = x;
  pass_ = tokens.pass;
  reduced_ = false;
  router_->route(tokens, device_bias_, routed_);
  if (context_.config.moe.capacity_factor > 0.0 && pass_ == Pass::train)
    drop();
  else
    Kokkos::deep_copy(routed_.choice.kept, std::uint8_t{1});
  count(routed_.choice, routed_.scores, tally_);
  return routed_.choice;
}

void RouterStage::offer_statistics(comm::JointSum& sum) { batch_.offer(balancers_, tally_, routed_.grain_tokens, sum); }

void RouterStage::take_statistics(const comm::JointSum& sum) {
  statistics_ = batch_.take(context_.config, balancers_, sum);
  statistics_.block = block_;
  statistics_.bias = bias_;
  if (pass_ == Pass::train) training_counts_ = statistics_.assigned;
  reduced_ = true;
}

void RouterStage::backward(const Matrix<float>& dweight, const Matrix<float>& dx) {
  expect(reduced_ && pass_ == Pass::train, "reduced statistics of a training pass before backward");
  reduced_ = false;  // the scores are overwritten
  if (routed_.x.extent(0) == 0) return;
  const BatchLoad::Gradient of_losses = batch_.gradient(balancers_);
  router_->backward({dweight, of_losses.coefficients, of_losses.unit_tokens, of_losses.z}, routed_, dx);
}

void RouterStage::update_bias(std::int64_t step) {
  if (!router_->shape().biased || training_counts_.empty()) return;
  std::vector<float> bias = bias_;
  for (const auto& balancer : balancers_) balancer->update(step, training_counts_, bias);
  set_bias(bias);
}

void RouterStage::set_bias(const std::vector<float>& bias) {
  expect(static_cast<int>(bias.size()) == experts(), "a bias for every expert");
  expect(router_->shape().biased || std::all_of(bias.begin(), bias.end(), [](float b) { return b == 0.0f; }),
         "no bias without a bias rule");
  bias_ = bias;
  Kokkos::deep_copy(device_bias_, HostVector<const float>(bias_.data(), bias_.size()));
}

}  // namespace switchyard::moe
