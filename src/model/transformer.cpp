// The decoder-only transformer: the order of the rooms, forward and backward, and the losses of a pass.
#include "model/transformer.hpp"

#include <algorithm>
#include <cmath>

#include "base/check.hpp"
#include "comm/joint_sum.hpp"
#include "model/lane.hpp"
#include "schedule/generators.hpp"

namespace switchyard::model {
namespace {

using schedule::Stage;

moe::TokenSet token_set(const data::Batch& batch, moe::Pass pass, const Config& config,
                        const Vector<std::int32_t>& ids) {
  return {pass, batch.step, batch.context, batch.sequences, config.grain_sequences(), ids};
}

bool all_finite(const Tensor& values) {
  const std::vector<float> all = host_values(values.floats());
  return std::all_of(all.begin(), all.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

struct Transformer::State {
  explicit State(const moe::LayerContext& layer_context);
  Lane& start_lane();
  void forward(const Queue& queue, const schedule::Task& task);
  void backward(const Queue& queue, const schedule::Task& task);
  moe::LayerContext context;
  Embedding embedding;
  std::vector<Block> blocks;
  nn::Norm final_norm;
  Head head;
  std::unique_ptr<Placed<Lane>> lane;  // made at the first pass
};

namespace {

std::vector<Block> make_blocks(const moe::LayerContext& context) {
  std::vector<Block> blocks;
  for (int b = 0; b < context.config.model.blocks; ++b) blocks.emplace_back(context, b);
  return blocks;
}

}  // namespace

Transformer::State::State(const moe::LayerContext& layer_context)
    : context(layer_context),
      embedding(context.parameters),
      blocks(make_blocks(context)),
      final_norm(context.parameters, "final_norm.weight", context.config.model.norm_epsilon),
      head(context.parameters, context.config) {
  expect(context.config.model.vocabulary > 0, "a vocabulary taken from the corpus");
}

Lane& Transformer::State::start_lane() {
  if (!lane)
    lane = std::make_unique<Placed<Lane>>("model::lane", context.config, context.groups.layout, Host().concurrency());
  return **lane;
}

void Transformer::State::forward(const Queue& queue, const schedule::Task& task) {
  Lane& l = **lane;
  switch (task.stage) {
    case Stage::embedding:
      copy(queue, l.ids, HostVector<const std::int32_t>(l.tokens.data(), l.tokens.size()));
      return embedding.forward(queue, l.ids, l.stream[0]);
    case Stage::head:
      final_norm.forward(queue, l.stream.back(), l.head_in, l.final_norm);
      head.take_targets(queue, l.targets, l.head);
      return head.forward(queue, l.rows, {l.head_in, l.scratch.branch}, l.token_set.pass, l.head);
    default:
      blocks[task.block].forward(queue, task.stage, l.token_set, {l.stream[task.block], l.stream[task.block + 1]},
                                 l.blocks[task.block]);
  }
}

void Transformer::State::backward(const Queue& queue, const schedule::Task& task) {
  Lane& l = **lane;
  switch (task.stage) {
    case Stage::head:
      fill(queue, l.gradient.floats(), 0.0f);
      return final_norm.backward(queue, l.rows, l.scratch.branch, l.gradient, l.final_norm, l.scratch.partial);
    case Stage::embedding:
      l.backward_due = false;
      return embedding.backward(queue, l.rows, l.tokens, l.gradient, l.index);
    default:
      blocks[task.block].backward(queue, task.stage, l.gradient, l.blocks[task.block]);
  }
}

Transformer::Transformer(const moe::LayerContext& context) : state_(std::make_unique<State>(context)) {}
Transformer::~Transformer() = default;

void Transformer::begin(const data::Batch& batch, moe::Pass pass) {
  Lane& l = state_->start_lane();
  expect(static_cast<Index>(batch.tokens.size()) == l.rows.count && batch.tokens.size() == batch.targets.size(),
         "the batch of this rank's grains");
  l.backward_due = pass == moe::Pass::train;
  l.tokens = batch.tokens, l.targets = batch.targets;
  l.token_set = token_set(batch, pass, state_->context.config, l.ids);
}

void Transformer::run(const Queue& queue, const schedule::Task& task) {
  expect(task.lane == 0, "a task of the one lane that there is");
  State& s = *state_;
  expect(s.lane != nullptr, "tokens before a task");
  if (task.direction == schedule::Direction::forward) return s.forward(queue, task);
  expect((*s.lane)->backward_due, "a training pass before backward");
  s.backward(queue, task);
}

void Transformer::forward(const Queue& queue, const data::Batch& batch, moe::Pass pass) {
  begin(batch, pass);
  for (const schedule::Task& task : schedule::forward_pass(state_->context.config))
    if (task.direction == schedule::Direction::forward) run(queue, task);
}

LossParts Transformer::reduce(const Queue& queue) {
  State& s = *state_;
  Lane& l = **s.lane;
  comm::JointSum sum(s.context.groups);
  const auto head = sum.add({}, grain_losses(queue, l.rows, l.head), 2);
  for (std::size_t b = 0; b < s.blocks.size(); ++b)
    if (s.blocks[b].moe()) s.blocks[b].moe()->offer_statistics(queue, *l.blocks[b].moe, sum);
  sum.reduce();
  LossParts loss;
  const auto count = static_cast<double>(l.rows.step_tokens);
  loss.cross_entropy = sum.values(head)[0] / count;
  loss.head_z = s.context.config.model.z_loss * sum.values(head)[1] / count;
  for (std::size_t b = 0; b < s.blocks.size(); ++b) {
    moe::Layer* layer = s.blocks[b].moe();
    if (!layer) continue;
    layer->take_statistics(sum, *l.blocks[b].moe);
    loss.aux += layer->statistics().aux_loss;
    loss.importance += layer->statistics().importance_loss;
    loss.router_z += layer->statistics().z_loss;
  }
  return loss;
}

std::int64_t Transformer::placed_bytes() const { return state_->lane ? state_->lane->arena().placed_bytes() : 0; }

std::vector<moe::Layer*> Transformer::moe_layers() {
  std::vector<moe::Layer*> layers;
  for (Block& block : state_->blocks)
    if (block.moe()) layers.push_back(block.moe());
  return layers;
}

std::vector<moe::RoutingSample> Transformer::samples() const {
  std::vector<moe::RoutingSample> samples;
  for (const BlockPass& pass : (*state_->lane)->blocks)
    if (pass.moe) samples.push_back(moe::sample(*pass.moe));
  return samples;
}

std::optional<Place> Transformer::first_non_finite(const Queue& queue) const {
  if (!state_->lane) return {};
  const Lane& l = **state_->lane;
  const int blocks = static_cast<int>(l.blocks.size());
  if (!all_finite(l.stream[0])) return Place{-1, -1};
  for (int b = 0; b < blocks; ++b) {
    // Experts work for other ranks' tokens too, so they are asked even where this rank's stream is finite.
    const int expert = l.blocks[b].moe ? moe::first_non_finite_expert(queue, *l.blocks[b].moe) : -1;
    if (expert >= 0 || !all_finite(l.stream[b + 1])) return Place{b, expert};
  }
  for (const float loss : token_losses())
    if (!std::isfinite(loss)) return Place{blocks, -1};
  return {};
}

std::vector<float> Transformer::token_losses() const { return host_values((*state_->lane)->head.rows.loss); }

std::vector<std::int32_t> Transformer::predictions() const { return host_values((*state_->lane)->head.rows.predicted); }

std::vector<float> Transformer::logits(const Queue& queue, Index row) const {
  const Lane& l = **state_->lane;
  expect(row < l.rows.count, "a row of a pass");
  return state_->head.logits(queue, l.head_in, row);
}

}  // namespace switchyard::model
