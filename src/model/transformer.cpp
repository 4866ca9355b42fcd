// The decoder-only transformer: the order of the rooms, forward and backward, and the losses of a pass.
#include "model/transformer.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "comm/joint_sum.hpp"
#include "comm/transfers.hpp"
#include "model/transformer_state.hpp"
#include "schedule/generators.hpp"

namespace switchyard::model {
namespace {

using schedule::Stage;

std::vector<Block> make_blocks(const moe::LayerContext& context) {
  std::vector<Block> blocks;
  for (int b = 0; b < context.config.model.blocks; ++b) blocks.emplace_back(context, b);
  return blocks;
}

/// Takes the rows of a lane, from `first` on, out of a batch.
void take_tokens(const data::Batch& batch, Index first, moe::Pass pass, const Config& config, Lane& lane) {
  const std::int64_t sequence = batch.sequences.first + first / batch.context;
  lane.backward_due = pass == moe::Pass::train;
  lane.scratch.layer.forget_travels();
  lane.indexed = false;
  lane.tokens.assign(batch.tokens.begin() + first, batch.tokens.begin() + first + lane.rows.count);
  std::copy(lane.tokens.begin(), lane.tokens.end(), lane.ids.host());
  std::copy_n(batch.targets.begin() + first, lane.rows.count, lane.head.targets.host());
  lane.token_set = {pass,
                    batch.step,
                    batch.context,
                    {sequence, sequence + lane.rows.sequences},
                    config.grain_sequences(),
                    Vector<std::int32_t>(lane.ids.device(), lane.rows.count)};
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
      return embedding.forward(queue, l.token_set.ids, l.stream[0]);
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
      return final_norm.backward(queue, l.rows, l.scratch.branch, l.gradient, l.final_norm, l.scratch.partials);
    case Stage::embedding:
      l.backward_due = false;
      index_tokens(queue, l);
      return embedding.backward(queue, l.rows, l.index, l.gradient.sum);
    default:
      if (task.stage == Stage::attention) queue.reclaim(l.head.lent);  // it works where logits were
      blocks[task.block].backward(queue, task.stage, l.gradient, l.blocks[task.block]);
  }
}

Transformer::Transformer(const moe::LayerContext& context) : state_(std::make_unique<State>(context)) {}
Transformer::~Transformer() = default;

/// Once a pass.
void Transformer::State::index_tokens(const Queue& queue, Lane& l) const {
  if (!std::exchange(l.indexed, true)) embedding.take_tokens(queue, l.rows, l.tokens, l.index);
}

void Transformer::take(const data::Batch& batch, moe::Pass pass) {
  State& s = *state_;
  s.start_lanes();
  s.last = pass;
  Index all = 0;
  for (const auto& lane : s.lanes) all += (*lane)->rows.count;
  expect(static_cast<Index>(batch.tokens.size()) == all && batch.tokens.size() == batch.targets.size(),
         "the batch of this rank's grains");
  Index first = 0;
  for (const auto& lane : s.lanes) {
    take_tokens(batch, first, pass, s.context.config, **lane);
    first += (*lane)->rows.count;
  }
}

void Transformer::send(const Queue& queue) const {
  for (const auto& lane : state_->lanes) {
    (*lane)->ids.to_device(queue, (*lane)->rows.count);
    (*lane)->head.targets.to_device(queue, (*lane)->rows.count);
  }
  if (state_->lanes.size() > 1) queue.fence("switchyard::model::begin");  // tasks of other queues read it too
}

std::optional<moe::Pass> Transformer::last_pass() const { return state_->last; }

void Transformer::went_back() {
  for (const auto& lane : state_->lanes) (*lane)->backward_due = false;
}

void Transformer::begin(const Queue& queue, const data::Batch& batch, moe::Pass pass) {
  take(batch, pass);
  send(queue);
}

void Transformer::index_tokens(const Queue& queue) {
  for (const auto& lane : state_->lanes) state_->index_tokens(queue, **lane);
}

void Transformer::ask_statistics(const Queue& queue) {
  queue.join();
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

std::vector<moe::Layer*> Transformer::moe_layers() {
  std::vector<moe::Layer*> layers;
  for (Block& block : state_->blocks)
    if (block.moe()) layers.push_back(block.moe());
  return layers;
}

}  // namespace switchyard::model
