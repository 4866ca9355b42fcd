// The decoder-only transformer: the order of the rooms, forward and backward, and the losses of a pass.
#include "model/transformer.hpp"

#include <algorithm>
#include <cmath>

#include "base/check.hpp"
#include "comm/joint_sum.hpp"
#include "model/block.hpp"
#include "model/embedding.hpp"
#include "model/head.hpp"
#include "schedule/generators.hpp"

namespace switchyard::model {
namespace {

using schedule::Stage;

moe::TokenSet token_set(const data::Batch& batch, moe::Pass pass, const Config& config,
                        const Vector<std::int32_t>& ids) {
  return {pass, batch.step, batch.context, batch.sequences, config.grain_sequences(), ids};
}

bool all_finite(const Matrix<float>& values) {
  const std::vector<float> all = host_values(values);
  return std::all_of(all.begin(), all.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

struct Transformer::State {
  explicit State(const moe::LayerContext& layer_context);
  void allocate();
  void forward(const schedule::Task& task);
  void backward(const schedule::Task& task);
  moe::LayerContext context;
  nn::Rows rows;
  Embedding embedding;
  std::vector<Block> blocks;
  nn::Norm final_norm;
  Head head;
  std::unique_ptr<BlockScratch> scratch;      // made with the activations at the first pass
  std::vector<Matrix<float>> stream;          // (blocks + 1) of (N, d): the residual stream between blocks
  Matrix<float> head_in, gradient;            // (N, d)
  Vector<std::int32_t> ids;                   // (N)
  std::vector<std::int32_t> tokens, targets;  // (N)
  moe::TokenSet token_set;
  bool backward_due = false;
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
      rows(nn::make_rows(context.config, context.groups.layout)),
      embedding(context.parameters),
      blocks(make_blocks(context)),
      final_norm(context.parameters, "final_norm.weight", context.config.model.norm_epsilon),
      head(context.parameters, context.config) {
  expect(context.config.model.vocabulary > 0, "a vocabulary taken from the corpus");
}

void Transformer::State::allocate() {
  if (scratch) return;
  const Index width = context.config.model.width;
  scratch = std::make_unique<BlockScratch>(rows, context.config);
  embedding.allocate(rows);
  for (Block& block : blocks) block.allocate(rows);
  final_norm.allocate(rows);
  head.allocate(rows);
  for (std::size_t b = 0; b <= blocks.size(); ++b)
    stream.push_back(make_view<Matrix<float>>("model::stream", rows.count, width));
  head_in = make_view<Matrix<float>>("model::head::in", rows.count, width);
  gradient = make_view<Matrix<float>>("model::gradient", rows.count, width);
  ids = make_view<Vector<std::int32_t>>("model::ids", rows.count);
}

void Transformer::State::forward(const schedule::Task& task) {
  switch (task.stage) {
    case Stage::embedding:
      Kokkos::deep_copy(ids, HostVector<const std::int32_t>(tokens.data(), tokens.size()));
      return embedding.forward(rows, ids, stream[0]);
    case Stage::head:
      final_norm.forward(rows, stream.back(), head_in);
      return head.forward(rows, head_in, targets, token_set.pass, scratch->branch);
    default:
      blocks[task.block].forward(task.stage, {rows, token_set, *scratch}, stream[task.block], stream[task.block + 1]);
  }
}

void Transformer::State::backward(const schedule::Task& task) {
  switch (task.stage) {
    case Stage::head:
      Kokkos::deep_copy(gradient, 0.0f);
      return final_norm.backward(rows, scratch->branch, gradient);
    case Stage::embedding:
      backward_due = false;
      return embedding.backward(rows, tokens, gradient);
    default:
      blocks[task.block].backward(task.stage, rows, *scratch, gradient);
  }
}

Transformer::Transformer(const moe::LayerContext& context) : state_(std::make_unique<State>(context)) {}
Transformer::~Transformer() = default;

void Transformer::begin(const data::Batch& batch, moe::Pass pass) {
  State& s = *state_;
  expect(static_cast<Index>(batch.tokens.size()) == s.rows.count && batch.tokens.size() == batch.targets.size(),
         "the batch of this rank's grains");
  s.allocate();
  s.backward_due = pass == moe::Pass::train;
  s.tokens = batch.tokens, s.targets = batch.targets;
  s.token_set = token_set(batch, pass, s.context.config, s.ids);
}

void Transformer::run(const schedule::Task& task) {
  State& s = *state_;
  if (task.direction == schedule::Direction::forward) return s.forward(task);
  expect(s.backward_due, "a training pass before backward");
  s.backward(task);
}

void Transformer::forward(const data::Batch& batch, moe::Pass pass) {
  begin(batch, pass);
  for (const schedule::Task& task : schedule::forward_pass(state_->context.config))
    if (task.direction == schedule::Direction::forward) run(task);
}

LossParts Transformer::reduce() {
  State& s = *state_;
  comm::JointSum sum(s.context.groups);
  const std::vector<moe::Layer*> layers = moe_layers();
  const auto head = sum.add({}, s.head.grain_losses(s.rows), 2);
  for (moe::Layer* layer : layers) layer->offer_statistics(sum);
  sum.reduce();
  LossParts loss;
  const auto count = static_cast<double>(s.rows.step_tokens);
  loss.cross_entropy = sum.values(head)[0] / count;
  loss.head_z = s.context.config.model.z_loss * sum.values(head)[1] / count;
  for (moe::Layer* layer : layers) {
    layer->take_statistics(sum);
    loss.aux += layer->statistics().aux_loss;
    loss.importance += layer->statistics().importance_loss;
    loss.router_z += layer->statistics().z_loss;
  }
  return loss;
}

std::vector<moe::Layer*> Transformer::moe_layers() {
  std::vector<moe::Layer*> layers;
  for (Block& block : state_->blocks)
    if (block.moe()) layers.push_back(block.moe());
  return layers;
}

std::optional<Place> Transformer::first_non_finite() const {
  const State& s = *state_;
  const int blocks = static_cast<int>(s.blocks.size());
  if (s.stream.empty()) return {};
  if (!all_finite(s.stream[0])) return Place{-1, -1};
  for (int b = 0; b < blocks; ++b) {
    // Experts work for other ranks' tokens too, so they are asked even where this rank's stream is finite.
    const int expert = s.blocks[b].moe() ? s.blocks[b].moe()->first_non_finite_expert() : -1;
    if (expert >= 0 || !all_finite(s.stream[b + 1])) return Place{b, expert};
  }
  for (const float loss : token_losses())
    if (!std::isfinite(loss)) return Place{blocks, -1};
  return {};
}

std::vector<float> Transformer::token_losses() const { return host_values(state_->head.last().loss); }

std::vector<std::int32_t> Transformer::predictions() const { return host_values(state_->head.last().predicted); }

std::vector<float> Transformer::logits(Index row) const {
  expect(row < static_cast<Index>(state_->head_in.extent(0)), "a row of a pass");
  return state_->head.logits(state_->head_in, row);
}

}  // namespace switchyard::model
