#include "moe/router.hpp"

#include <algorithm>
#include <string>

#include "base/check.hpp"
#include "moe/capacity.hpp"
#include "tensor/blas.hpp"

namespace switchyard::moe {
namespace {

int parameter(const LayerContext& context, int block, const char* name) {
  return context.parameters.id("blocks." + std::to_string(block) + ".moe." + name + ".weight");
}

void expect_sensible(const RouterShape& s) {
  expect(s.experts >= 1 && s.top_k >= 1 && s.top_k <= s.experts && s.top_k <= max_choices, "1 <= k <= E, and k <= 32");
  expect(s.groups >= 1 && s.groups <= max_groups && s.experts % s.groups == 0, "at most 64 groups that divide E");
  expect(s.groups_kept >= 1 && s.groups_kept <= s.groups, "groups to keep among all");
  expect(s.top_k <= s.experts / s.groups * s.groups_kept, "k experts in the groups kept");
  const Normalise n = s.normalise;
  const bool softmax = s.router == RouterKind::softmax, noisy = s.router == RouterKind::noisy_topk;
  expect(!softmax || n != Normalise::none, "softmax weights, before or after selection");
  expect(!noisy || n == Normalise::after, "noisy top-k with a softmax over the selected");
  expect(s.router != RouterKind::sigmoid || n != Normalise::before, "sigmoids, normalised after selection or not");
  expect(!s.biased || softmax || s.router == RouterKind::sigmoid, "a selection bias with scores to add it to");
}

}  // namespace

RouterStage::RouterStage(const LayerContext& context, int block)
    : context_(context),
      block_(block),
      shape_(router_shape(context.config.moe, context.config.block_experts(block))),
      bias_(shape_.experts, 0.0f),
      device_bias_("moe::router::bias", shape_.experts) {
  expect_sensible(shape_);
  if (shape_.router != RouterKind::hash) weight_ = parameter(context, block, "router");
  if (shape_.router == RouterKind::noisy_topk) noise_ = parameter(context, block, "router_noise");
}

void RouterStage::resize(const TokenSet& tokens) {
  const Index n = tokens.tokens(), k = shape_.top_k, sequences = tokens.sequences.size();
  expect(sequences % tokens.grain_sequences == 0 &&
             sequences / tokens.grain_sequences == context_.groups.layout.my_grains().size(),
         "the tokens of this rank's grains");
  grain_tokens_ = Index{tokens.grain_sequences} * tokens.context;
  if (static_cast<Index>(choice_.expert.extent(0)) == n && static_cast<Index>(tally_.assigned.extent(0)) == sequences &&
      choice_.expert.data())
    return;
  scores_ = make_scores(shape_, n);
  choice_.expert = make_view<Matrix<std::int32_t>>("moe::choice::expert", n, k);
  choice_.weight = make_view<Matrix<float>>("moe::choice::weight", n, k);
  choice_.kept = make_view<Matrix<std::uint8_t>>("moe::choice::kept", n, k);
  tally_ = make_tally(sequences, n, shape_.experts, context_.config.record.margin_bins);
}

/// Logits, noise, scores, and the experts that they select.
void RouterStage::choose(const TokenSet& tokens) {
  const Config& config = context_.config;
  if (shape_.router == RouterKind::hash)
    return select_by_hash(shape_, config.train.seed, block_, tokens.ids, scores_, choice_, tally_.token_margin);
  const Index offsets[2] = {0, tokens.tokens()}, width = config.model.width;
  const ParameterSet& parameters = context_.parameters;
  blas::forward({1, offsets}, shape_.experts, width, x_.data(), parameters.value(weight_), scores_.logits.data());
  if (noise_ >= 0 && tokens.pass == Pass::train) {
    blas::forward({1, offsets}, shape_.experts, width, x_.data(), parameters.value(noise_), scores_.slope.data());
    add_noise({config.train.seed, tokens.step, block_, tokens.sequences.first * tokens.context}, scores_);
  }
  score_tokens(shape_, config.moe.z_loss > 0.0, scores_);
  select(shape_, scores_, device_bias_, choice_, tally_.token_margin);
}

/// Every grain and expert drops what is over its capacity.
void RouterStage::drop() {
  const MoeConfig& moe = context_.config.moe;
  const auto expert = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), choice_.expert);
  const auto weight = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), choice_.weight);
  const auto kept = Kokkos::create_mirror_view(choice_.kept);
  const std::int64_t rows = capacity(moe.capacity_factor, grain_tokens_, shape_.top_k, shape_.experts);
  for (std::size_t t = 0; t < expert.extent(0); t += grain_tokens_)
    keep_within(rows, moe.drop_order, {grain_tokens_, shape_.top_k, shape_.experts, &expert(t, 0), &weight(t, 0)},
                &kept(t, 0));
  Kokkos::deep_copy(choice_.kept, kept);
}

const Choice& RouterStage::forward(const TokenSet& tokens, const Matrix<float>& x) {
  resize(tokens);
  x_ = x;
  pass_ = tokens.pass;
  reduced_ = false;
  choose(tokens);
  if (context_.config.moe.capacity_factor > 0.0 && pass_ == Pass::train)
    drop();
  else
    Kokkos::deep_copy(choice_.kept, std::uint8_t{1});
  count(choice_, scores_, tally_);
  return choice_;
}

void RouterStage::offer_statistics(comm::JointSum& sum) { batch_.offer(context_.config, tally_, grain_tokens_, sum); }

void RouterStage::take_statistics(const comm::JointSum& sum) {
  statistics_ = batch_.take(context_.config, sum);
  statistics_.block = block_;
  statistics_.bias = bias_;
  if (pass_ == Pass::train) training_counts_ = statistics_.assigned;
  reduced_ = true;
}

/// Gradient of `parameter` from that of its product (N, E), whose share of dx is written or added.
void RouterStage::product_backward(int parameter, const Matrix<float>& gradient, const Matrix<float>& dx, bool add) {
  const ParameterSet& parameters = context_.parameters;
  const Index n = x_.extent(0), width = context_.config.model.width, whole[2] = {0, n};
  std::vector<Index> grains;
  for (Index first = 0; first <= n; first += grain_tokens_) grains.push_back(first);
  blas::input_gradient({1, whole}, shape_.experts, width, gradient.data(), parameters.value(parameter), dx.data(),
                       add ? blas::Write::add : blas::Write::replace);
  blas::weight_gradient(
      {1, static_cast<int>(grains.size()) - 1, grains.data(), &parameters.nodes(Placement::replicated)}, shape_.experts,
      width, gradient.data(), x_.data(), parameters.gradient(parameter), parameters.gradient_stride(parameter));
}

void RouterStage::backward(const Matrix<float>& dweight, const Matrix<float>& dx) {
  expect(reduced_ && pass_ == Pass::train, "reduced statistics of a training pass before backward");
  reduced_ = false;  // the scores are overwritten
  if (x_.extent(0) == 0) return;
  if (shape_.router == RouterKind::hash) return Kokkos::deep_copy(dx, 0.0f);
  const MoeConfig& moe = context_.config.moe;
  const BatchLoad::Coefficients coefficients = batch_.coefficients(moe, shape_);
  const auto z = static_cast<float>(2.0 * moe.z_loss / static_cast<double>(batch_.tokens()));
  score_gradient(shape_, {dweight, coefficients.values, coefficients.unit_tokens, z}, choice_, scores_);
  product_backward(weight_, scores_.logits, dx, false);
  if (noise_ < 0) return;
  noise_gradient(scores_);
  product_backward(noise_, scores_.slope, dx, true);
}

void RouterStage::update_bias(std::int64_t step) {
  const MoeConfig& moe = context_.config.moe;
  if (!shape_.biased || training_counts_.empty() || (moe.bias_until > 0 && step >= moe.bias_until)) return;
  std::vector<float> bias = bias_;
  move_bias(moe.bias_rule, moe.bias_rate, training_counts_, bias);
  set_bias(bias);
}

void RouterStage::set_bias(const std::vector<float>& bias) {
  expect(static_cast<int>(bias.size()) == shape_.experts, "a bias for every expert");
  expect(shape_.biased || std::all_of(bias.begin(), bias.end(), [](float b) { return b == 0.0f; }),
         "no bias without a bias rule");
  bias_ = bias;
  Kokkos::deep_copy(device_bias_, HostVector<const float>(bias_.data(), bias_.size()));
}

}  // namespace switchyard::moe
