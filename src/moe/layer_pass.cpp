#include "moe/layer_pass.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "moe/rows.hpp"

namespace switchyard::moe {
namespace {

nn::FeedForwardPass expert_pass(Arena& arena, const Config& config, Index rows) {
  return {arena, Account::expert_rows, rows, config.moe.hidden, config.model.activation};
}

bool any_experts(const Config& config) {
  for (int b = 0; b < config.model.blocks; ++b)
    if (config.block_experts(b) > 0) return true;
  return false;
}

Room<float> expert_room(Arena& arena, const char* label, const Config& config, Index rows) {
  return {arena, label, Account::expert_rows, rows * config.model.width};
}

}  // namespace

LayerScratch::LayerScratch(Arena& arena, const Config& config, const Layout& layout)
    : transfer(arena, config, layout),
      d_weights(arena.vector<float>(any_experts(config) ? most_choices(config, layout) : 0, Account::scratch)) {}

LayerPass::LayerPass(Arena& arena, const nn::Rows& lane_rows, const Config& config, const Layout& layout, int block,
                     LayerScratch& shared_scratch)
    : scratch(shared_scratch),
      token_rows(lane_rows),
      routing(arena, config, lane_rows, config.block_experts(block)),
      plan(arena, config, layout, config.block_experts(block)),
      combine(arena, config, layout),
      experts(expert_pass(arena, config, even_expert_rows(config, layout, config.block_experts(block)))) {
  const Index expected = even_expert_rows(config, layout, config.block_experts(block));
  rows = expert_room(arena, "moe::layer::rows", config, expected);
  outputs = expert_room(arena, "moe::layer::outputs", config, expected);
  if (config.moe.shared_experts > 0)
    shared.emplace(arena, Account::activations, token_rows.count, Index{config.moe.shared_experts} * config.moe.hidden,
                   config.model.activation);
}

RoutingSample sample(const LayerPass& pass) {
  const Choice& choice = pass.routing.choice();
  const std::vector<std::int32_t> first = host_values(choice.first);
  for (Index t = 0; t <= choice.tokens(); ++t)  // records are (N, k)
    expect(first[t] * choice.tokens() == t * choice.capacity(), "as many choices of every token");
  return {host_values(choice.expert), host_values(choice.weight), host_values(choice.kept)};
}

int first_non_finite_expert(const LayerPass& pass, int width) {
  const Index row = rows::first_made_non_finite(pass.plan.expert_rows(), width, pass.rows.data(), pass.outputs.data());
  if (row < 0) return -1;
  const std::vector<Index>& offsets = pass.plan.expert_offsets();
  const auto next = std::upper_bound(offsets.begin(), offsets.end(), row);
  return pass.plan.first_expert() + static_cast<int>(next - offsets.begin()) - 1;
}

}  // namespace switchyard::moe
