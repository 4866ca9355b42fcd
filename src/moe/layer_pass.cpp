#include "moe/layer_pass.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "config/moe_layers.hpp"
#include "config/recomputation.hpp"
#include "moe/rows.hpp"

namespace switchyard::moe {
namespace {

/// Of the shared experts of a layer; null where it has none.
std::shared_ptr<nn::FeedForwardPass> make_shared_experts(Arena& arena, const Config& config, Account account,
                                                         Index rows, Element branch) {
  const Index hidden = Index{config.moe.shared_experts} * config.moe.hidden;
  if (hidden == 0) return nullptr;
  return std::make_shared<nn::FeedForwardPass>(arena, account, Tensor{nullptr, branch, rows, hidden},
                                               config.model.activation);
}

bool whole_layer_recomputed(const Config& config, int block) {
  return config.block_experts(block) > 0 && whole_block_recomputed(config, block);
}

/// The scores that layers of `experts` share where they are made again.
const Scores* shared_scores(const LayerScratch& scratch, const Config& config, int block) {
  return whole_layer_recomputed(config, block) ? &scratch.scores.at(config.block_experts(block)) : nullptr;
}

}  // namespace

LayerScratch::LayerScratch(Arena& arena, const Config& config, const Layout& layout, Element branch)
    : transfer(arena, config, layout, branch),
      d_weights(arena.vector<float>(moe_layers(config).empty() ? 0 : most_choices(config, layout), Account::scratch)) {
  for (int leg = 0; leg < std::ssize(layout.legs()) && !moe_layers(config).empty(); ++leg)
    legs.emplace_back(arena, config, layout, branch, leg);
  const auto rows = [&](Index width) { return Tensor{nullptr, branch, most_expert_rows(config, layout), width}; };
  d_rows = {arena, "moe::layer::d_rows", Account::expert_rows, rows(config.model.width)};
  d_hidden = {arena, "moe::layer::d_hidden", Account::expert_rows, rows(rank_hidden(config, layout))};
  if (const Index width = nn::partial_width(config.model.width, layout.my_chunks(config.moe.hidden_chunks).size()))
    partial = {arena, "moe::layer::partial", Account::expert_rows, rows(width)};
  for (int b = 0; b < config.model.blocks && !shared; ++b)
    if (whole_layer_recomputed(config, b))
      shared = make_shared_experts(arena, config, Account::scratch, nn::make_rows(config, layout).count, branch);
}

void LayerScratch::take_scores(Arena& arena, const Config& config, const nn::Rows& rows) {
  const Arena::Mark begin = arena.mark();
  Arena::Mark end = begin;
  for (int b = 0; b < config.model.blocks; ++b) {
    if (!whole_layer_recomputed(config, b) || scores.contains(config.block_experts(b))) continue;
    arena.rewind(begin);
    scores[config.block_experts(b)] = make_scores(arena, config, rows, config.block_experts(b));
    end = Arena::past_both(end, arena.mark());
  }
  arena.rewind(end);
}

bool LayerScratch::poll() {
  bool under_way = transfer.under_way.poll();
  for (LegPass& leg : legs) under_way |= leg.under_way.poll(), under_way |= leg.d_weights.poll();
  return under_way;
}

void LayerScratch::forget_travels() {
  transfer.under_way.travels.clear();
  for (LegPass& leg : legs) leg.under_way.travels.clear();
}

void LayerScratch::count_near() {
  Travel& travel = travels().back();
  travel.near = (legs.size() > 1 ? legs.back().under_way : transfer.under_way).take_last();
  if (legs.size() > 1) travel.weights = legs.back().d_weights.take_last();
}

void LayerScratch::count_weights() { travels().back().weights = legs.front().d_weights.take_last(); }

LayerPass::LayerPass(Arena& arena, const nn::Rows& lane_rows, const Config& config, const Layout& layout,
                     ExpertRows& rows_of_block, LayerScratch& shared_scratch)
    : lane(layout.lane),
      experts(rows_of_block),
      scratch(shared_scratch),
      token_rows(lane_rows),
      routing(arena, config, lane_rows, config.block_experts(rows_of_block.block()),
              shared_scores(scratch, config, rows_of_block.block())),
      plan(arena, config, layout, rows_of_block.block()),
      combine(arena, config, layout, lane_rows.branch),
      shared(whole_layer_recomputed(config, rows_of_block.block())
                 ? scratch.shared
                 : make_shared_experts(arena, config, Account::activations, lane_rows.count, lane_rows.branch)) {
  for (int leg = 0; leg < std::ssize(layout.legs()); ++leg)
    crossings.emplace_back(arena, config, layout, leg, rows_of_block.block());
}

namespace {

template <class V, class T>
void append(const V& values, std::vector<T>& all) {
  const auto copied = host_values(values);
  all.insert(all.end(), copied.begin(), copied.end());
}

}  // namespace

void add_sample(const LayerPass& pass, RoutingSample& all) {
  const Choice& choice = pass.routing.choice();
  const std::vector<std::int32_t> first = host_values(choice.first);
  for (Index t = 0; t <= choice.tokens(); ++t)  // records are (N, k)
    expect(first[t] * choice.tokens() == t * choice.capacity(), "as many choices of every token");
  append(choice.expert, all.experts);
  append(choice.weight, all.weights);
  append(choice.kept, all.kept);
}

int first_non_finite_expert(const Queue& queue, LayerPass& pass) {
  queue.fence("switchyard::moe::first_non_finite_expert");
  pass.plan.settle();
  int first = -1;
  for (const Plan::Rows& some : {pass.plan.here(), pass.plan.others()}) {
    const ExpertRows::Part part = pass.part({some.rows.first, some.rows.first + some.offsets.back()});
    const Index row = rows::first_made_non_finite(queue, part.rows, part.outputs);
    if (row < 0) continue;
    const auto next = std::upper_bound(some.offsets.begin(), some.offsets.end(), row);
    const int expert = pass.plan.expert_at(static_cast<int>(next - some.offsets.begin()) - 1);
    first = first < 0 ? expert : std::min(first, expert);
  }
  return first;
}

}  // namespace switchyard::moe
