// The decoder-only transformer: the order of the rooms, forward and backward, and the losses of a pass.
#include "model/transformer.hpp"

#include <algorithm>
#include <cmath>

#include "base/check.hpp"
#include "comm/joint_sum.hpp"
#include "comm/transfers.hpp"
#include "config/recomputation.hpp"
#include "model/lane.hpp"
#include "schedule/generators.hpp"

namespace switchyard::model {
namespace {

using schedule::Stage;

bool all_finite(const Tensor& values) {
  const std::vector<float> all = host_values(values.floats());
  return std::all_of(all.begin(), all.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

struct Transformer::State {
  explicit State(const moe::LayerContext& layer_context);
  void start_lanes();
  Lane& lane(int number) const { return **lanes[number]; }
  std::vector<moe::LayerPass*> passes(std::size_t block) const;
  void forward(const Queue& queue, const schedule::Task& task);
  void recompute(const Queue& queue, const schedule::Task& task);
  void backward(const Queue& queue, const schedule::Task& task);
  int first_non_finite_expert(const Queue& queue, int block);
  moe::LayerContext context;
  Embedding embedding;
  std::vector<Block> blocks;
  nn::Norm final_norm;
  Head head;
  std::unique_ptr<Placed<SharedRows>> shared;  // made at the first pass, as the lanes
  std::vector<std::unique_ptr<Placed<Lane>>> lanes;
  bool asked = false;  // for the statistics of the last pass
};

namespace {

std::vector<Block> make_blocks(const moe::LayerContext& context) {
  std::vector<Block> blocks;
  for (int b = 0; b < context.config.model.blocks; ++b) blocks.emplace_back(context, b);
  return blocks;
}

/// Values of all lanes of a rank, one after another.
template <class T, class F>
std::vector<T> joined(const std::vector<std::unique_ptr<Placed<Lane>>>& lanes, const F& of) {
  std::vector<T> all;
  for (const auto& lane : lanes) {
    const std::vector<T> part = of(**lane);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

/// Takes the rows of a lane, from `first` on, out of a batch.
void take_tokens(const data::Batch& batch, Index first, moe::Pass pass, const Config& config, Lane& lane) {
  const auto part = [&](const std::vector<std::int32_t>& all) {
    return std::vector<std::int32_t>(all.begin() + first, all.begin() + first + lane.rows.count);
  };
  const std::int64_t sequence = batch.sequences.first + first / batch.context;
  lane.backward_due = pass == moe::Pass::train;
  lane.scratch.layer.forget_travels();
  lane.tokens = part(batch.tokens), lane.targets = part(batch.targets);
  lane.token_set = {
      pass, batch.step, batch.context, {sequence, sequence + lane.rows.sequences}, config.grain_sequences(), lane.ids};
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

void Transformer::State::start_lanes() {
  if (shared) return;
  Layout layout = context.groups.layout;
  const Element branch = nn::branch_of(context.config);
  shared = std::make_unique<Placed<SharedRows>>("model::shared_rows", context.config, layout, branch);
  for (; layout.lane < layout.lanes; ++layout.lane)
    lanes.push_back(
        std::make_unique<Placed<Lane>>("model::lane", context.config, layout, **shared, Host().concurrency()));
}

/// Of all lanes, in a block that is a mixture.
std::vector<moe::LayerPass*> Transformer::State::passes(std::size_t block) const {
  std::vector<moe::LayerPass*> all;
  for (const auto& l : lanes) all.push_back((*l)->blocks[block].moe.get());
  return all;
}

void Transformer::State::forward(const Queue& queue, const schedule::Task& task) {
  Lane& l = lane(task.lane);
  switch (task.stage) {
    case Stage::embedding:
      return embedding.forward(queue, l.ids, l.stream[0]);
    case Stage::head:
      final_norm.forward(queue, l.stream.back(), l.head_in, l.final_norm);
      return head.forward(queue, l.rows, {l.head_in, l.scratch.branch}, l.token_set.pass, l.head);
    default:
      blocks[task.block].forward(queue, task.stage, l.token_set, {l.stream[task.block], l.stream[task.block + 1]},
                                 l.blocks[task.block]);
  }
}

void Transformer::State::recompute(const Queue& queue, const schedule::Task& task) {
  Lane& l = lane(task.lane);
  blocks[task.block].recompute(queue, task.stage, l.stream[task.block], l.blocks[task.block]);
}

void Transformer::State::backward(const Queue& queue, const schedule::Task& task) {
  Lane& l = lane(task.lane);
  switch (task.stage) {
    case Stage::head:
      fill(queue, l.gradient.sum.floats(), 0.0f);
      return final_norm.backward(queue, l.rows, l.scratch.branch, l.gradient, l.final_norm, l.scratch.partial);
    case Stage::embedding:
      l.backward_due = false;
      return embedding.backward(queue, l.rows, l.tokens, l.gradient.sum, l.index);
    default:
      blocks[task.block].backward(queue, task.stage, l.gradient, l.blocks[task.block]);
  }
}

Transformer::Transformer(const moe::LayerContext& context) : state_(std::make_unique<State>(context)) {}
Transformer::~Transformer() = default;

void Transformer::begin(const Queue& queue, const data::Batch& batch, moe::Pass pass) {
  State& s = *state_;
  s.start_lanes();
  Index all = 0;
  for (const auto& lane : s.lanes) all += (*lane)->rows.count;
  expect(static_cast<Index>(batch.tokens.size()) == all && batch.tokens.size() == batch.targets.size(),
         "the batch of this rank's grains");
  Index first = 0;
  for (const auto& lane : s.lanes) {
    take_tokens(batch, first, pass, s.context.config, **lane);
    copy(queue, (*lane)->ids, HostVector<const std::int32_t>((*lane)->tokens.data(), (*lane)->tokens.size()));
    s.head.take_targets(queue, (*lane)->targets, (*lane)->head);
    first += (*lane)->rows.count;
  }
  if (s.lanes.size() > 1) queue.fence("switchyard::model::begin");  // tasks of other queues read it too
}

void Transformer::ask_statistics(const Queue& queue) {
  for (const auto& lane : state_->lanes) ask_losses(queue, (*lane)->rows, (*lane)->head);
  for (std::size_t b = 0; b < state_->blocks.size(); ++b)
    if (moe::Layer* layer = state_->blocks[b].moe()) layer->ask_statistics(queue, state_->passes(b));
  state_->asked = true;
}

void Transformer::statistics_later() {
  state_->asked = true;
  for (std::size_t b = 0; b < state_->blocks.size(); ++b)
    if (moe::Layer* layer = state_->blocks[b].moe()) layer->statistics_later(state_->passes(b));
}

void Transformer::run(const Queue& queue, const schedule::Task& task) {
  State& s = *state_;
  expect(s.shared != nullptr, "tokens before a task");
  expect(task.lane >= 0 && task.lane < static_cast<int>(s.lanes.size()), "a task of a lane that there is");
  if (task.direction == schedule::Direction::forward) return s.forward(queue, task);
  const bool of_all = task.stage == Stage::expert_weights;  // of which some may have been all the way back
  expect(of_all || s.lane(task.lane).backward_due, "a training pass before backward");
  if (task.direction == schedule::Direction::recompute) return s.recompute(queue, task);
  s.backward(queue, task);
}

bool Transformer::poll() {
  bool under_way = false;
  for (const auto& lane : state_->lanes) under_way |= (*lane)->scratch.layer.poll();
  return under_way;
}

const std::vector<moe::Travel>& Transformer::travels(int lane) const {
  return state_->lane(lane).scratch.layer.travels();
}

void Transformer::forward(const Queue& queue, const data::Batch& batch, moe::Pass pass) {
  begin(queue, batch, pass);
  comm::told_if_unwound([&] {
    for (const schedule::Task& task : schedule::forward_pass(state_->context.config))
      if (task.direction == schedule::Direction::forward) run(queue, task);
  });
}

LossParts Transformer::reduce(const Queue& queue) {
  State& s = *state_;
  comm::JointSum sum(s.context.groups);
  if (!s.asked) ask_statistics(queue);
  s.asked = false;
  queue.fence("switchyard::model::statistics");
  const auto head = sum.add({}, joined<double>(s.lanes, [](const Lane& l) { return grain_losses(l.head); }), 2);
  for (std::size_t b = 0; b < s.blocks.size(); ++b)
    if (s.blocks[b].moe()) s.blocks[b].moe()->offer_statistics(queue, s.passes(b), sum);
  sum.reduce();
  LossParts loss;
  const auto count = static_cast<double>(s.context.config.step_tokens());
  loss.cross_entropy = sum.values(head)[0] / count;
  loss.head_z = s.context.config.model.z_loss * sum.values(head)[1] / count;
  for (std::size_t b = 0; b < s.blocks.size(); ++b) {
    moe::Layer* layer = s.blocks[b].moe();
    if (!layer) continue;
    layer->take_statistics(sum, s.passes(b));
    loss.aux += layer->statistics().aux_loss;
    loss.importance += layer->statistics().importance_loss;
    loss.router_z += layer->statistics().z_loss;
  }
  return loss;
}

std::int64_t Transformer::placed_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& lane : state_->lanes) bytes += lane->arena().placed_bytes();
  return bytes;
}

std::vector<moe::Layer*> Transformer::moe_layers() {
  std::vector<moe::Layer*> layers;
  for (Block& block : state_->blocks)
    if (block.moe()) layers.push_back(block.moe());
  return layers;
}

std::vector<moe::RoutingSample> Transformer::samples() const {
  std::vector<moe::RoutingSample> samples;
  for (std::size_t b = 0; b < state_->blocks.size(); ++b) {
    if (!state_->blocks[b].moe()) continue;
    samples.emplace_back();
    for (const moe::LayerPass* pass : state_->passes(b)) moe::add_sample(*pass, samples.back());
  }
  return samples;
}

/// Of the first lane that has one; −1 if none. Outputs of experts that are not there any more are made again first.
int Transformer::State::first_non_finite_expert(const Queue& queue, int block) {
  for (const auto& l : lanes) {
    BlockPass& pass = (*l)->blocks[block];
    if (!(*l)->backward_due) blocks[block].moe()->recompute_outputs(queue, *pass.moe);  // its wave has gone back
    if (whole_block_recomputed(context.config, block)) {
      for (const Stage stage : schedule::recompute_stages(context.config, block))
        blocks[block].recompute(queue, stage, (*l)->stream[block], pass);
      blocks[block].moe()->recompute_outputs(queue, *pass.moe);
    }
    const int expert = moe::first_non_finite_expert(queue, *pass.moe);
    if (expert >= 0) return expert;
  }
  return -1;
}

std::optional<Place> Transformer::first_non_finite(const Queue& queue) const {
  if (!state_->shared) return {};
  const int blocks = static_cast<int>(state_->blocks.size());
  const auto finite = [&](int position) {
    return std::all_of(state_->lanes.begin(), state_->lanes.end(),
                       [&](const auto& lane) { return all_finite((*lane)->stream[position]); });
  };
  if (!finite(0)) return Place{-1, -1};
  for (int b = 0; b < blocks; ++b) {
    // Experts work for other ranks' tokens too, so they are asked even where this rank's stream is finite.
    const int expert = state_->blocks[b].moe() ? state_->first_non_finite_expert(queue, b) : -1;
    if (expert >= 0 || !finite(b + 1)) return Place{b, expert};
  }
  for (const float loss : token_losses())
    if (!std::isfinite(loss)) return Place{blocks, -1};
  return {};
}

std::vector<float> Transformer::token_losses() const {
  return joined<float>(state_->lanes, [](const Lane& l) { return host_values(l.head.rows.loss); });
}

std::vector<std::int32_t> Transformer::predictions() const {
  return joined<std::int32_t>(state_->lanes, [](const Lane& l) { return host_values(l.head.rows.predicted); });
}

std::vector<float> Transformer::logits(const Queue& queue, Index row) const {
  for (const auto& lane : state_->lanes) {
    if (row < (*lane)->rows.count) return state_->head.logits(queue, (*lane)->head_in, row);
    row -= (*lane)->rows.count;
  }
  throw Error(Exit::internal, "a row that no lane has");
}

}  // namespace switchyard::model
