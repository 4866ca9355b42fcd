#include "moe/layer_pass.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "config/moe_layers.hpp"
#include "moe/rows.hpp"

namespace switchyard::moe {
namespace {

/// Rows of `width` of the experts of a layer at even loads.
Tensor even_rows(const Config& config, const Layout& layout, int block, Element branch, Index width) {
  return {nullptr, branch, even_expert_rows(config, layout, config.block_experts(block)), width};
}

}  // namespace

LayerScratch::LayerScratch(Arena& arena, const Config& config, const Layout& layout, Element branch)
    : transfer(arena, config, layout, branch),
      d_weights(arena.vector<float>(moe_layers(config).empty() ? 0 : most_choices(config, layout), Account::scratch)) {}

LayerPass::LayerPass(Arena& arena, const nn::Rows& lane_rows, const Config& config, const Layout& layout, int block,
                     LayerScratch& shared_scratch)
    : scratch(shared_scratch),
      token_rows(lane_rows),
      routing(arena, config, lane_rows, config.block_experts(block)),
      plan(arena, config, layout, config.block_experts(block)),
      combine(arena, config, layout, lane_rows.branch),
      experts(arena, Account::expert_rows, even_rows(config, layout, block, lane_rows.branch, config.moe.hidden),
              config.model.activation) {
  const Tensor expected = even_rows(config, layout, block, lane_rows.branch, config.model.width);
  rows = {arena, "moe::layer::rows", Account::expert_rows, expected};
  outputs = {arena, "moe::layer::outputs", Account::expert_rows, expected};
  if (const Index shared_hidden = Index{config.moe.shared_experts} * config.moe.hidden; shared_hidden > 0)
    shared.emplace(arena, Account::activations, Tensor{nullptr, token_rows.branch, token_rows.count, shared_hidden},
                   config.model.activation);
}

RoutingSample sample(const LayerPass& pass) {
  const Choice& choice = pass.routing.choice();
  const std::vector<std::int32_t> first = host_values(choice.first);
  for (Index t = 0; t <= choice.tokens(); ++t)  // records are (N, k)
    expect(first[t] * choice.tokens() == t * choice.capacity(), "as many choices of every token");
  return {host_values(choice.expert), host_values(choice.weight), host_values(choice.kept)};
}

int first_non_finite_expert(const Queue& queue, const LayerPass& pass) {
  const Index n = pass.plan.expert_rows();
  const Index row = rows::first_made_non_finite(queue, pass.rows.rows(n), pass.outputs.rows(n));
  if (row < 0) return -1;
  const std::vector<Index>& offsets = pass.plan.expert_offsets();
  const auto next = std::upper_bound(offsets.begin(), offsets.end(), row);
  return pass.plan.first_expert() + static_cast<int>(next - offsets.begin()) - 1;
}

}  // namespace switchyard::moe
