#include "moe/layer_pass.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "config/moe_layers.hpp"
#include "moe/rows.hpp"

namespace switchyard::moe {
LayerScratch::LayerScratch(Arena& arena, const Config& config, const Layout& layout, Element branch)
    : transfer(arena, config, layout, branch),
      d_weights(arena.vector<float>(moe_layers(config).empty() ? 0 : most_choices(config, layout), Account::scratch)) {
  if (layout.by_nodes() && !moe_layers(config).empty()) rail.emplace(arena, config, layout, branch);
  const auto rows = [&](Index width) { return Tensor{nullptr, branch, most_expert_rows(config, layout), width}; };
  d_rows = {arena, "moe::layer::d_rows", Account::expert_rows, rows(config.model.width)};
  d_hidden = {arena, "moe::layer::d_hidden", Account::expert_rows, rows(config.moe.hidden)};
}

void LayerScratch::poll() {
  transfer.under_way.poll();
  if (rail) rail->under_way.poll(), rail->d_weights.poll();
}

void LayerScratch::forget_travels() {
  travels().clear();
  transfer.under_way.travels.clear();
}

void LayerScratch::count_near() {
  double& near = travels().back().near;
  for (UnderWay* way : {&transfer.under_way, &rail->d_weights}) {
    if (way->flight) continue;
    for (const Travel& travel : way->travels) near += travel.waited;
    way->travels.clear();
  }
}

LayerPass::LayerPass(Arena& arena, const nn::Rows& lane_rows, const Config& config, const Layout& layout,
                     ExpertRows& rows_of_block, LayerScratch& shared_scratch)
    : lane(layout.lane),
      experts(rows_of_block),
      scratch(shared_scratch),
      token_rows(lane_rows),
      routing(arena, config, lane_rows, config.block_experts(rows_of_block.block())),
      plan(arena, config, layout, config.block_experts(rows_of_block.block())),
      combine(arena, config, layout, lane_rows.branch) {
  if (layout.by_nodes()) crossing.emplace(arena, config, layout, config.block_experts(rows_of_block.block()));
  if (const Index shared_hidden = Index{config.moe.shared_experts} * config.moe.hidden; shared_hidden > 0)
    shared.emplace(arena, Account::activations, Tensor{nullptr, token_rows.branch, token_rows.count, shared_hidden},
                   config.model.activation);
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

int first_non_finite_expert(const Queue& queue, const LayerPass& pass) {
  const ExpertRows::Part part = pass.part();
  const Index row = rows::first_made_non_finite(queue, part.rows, part.outputs);
  if (row < 0) return -1;
  const std::vector<Index>& offsets = pass.plan.expert_offsets();
  const auto next = std::upper_bound(offsets.begin(), offsets.end(), row);
  return pass.plan.first_expert() + static_cast<int>(next - offsets.begin()) - 1;
}

}  // namespace switchyard::moe
