// What a transformer tells of its last forward pass, and where that first went wrong.
#include <algorithm>
#include <cmath>

#include "base/check.hpp"
#include "config/recomputation.hpp"
#include "model/transformer_state.hpp"
#include "schedule/generators.hpp"

namespace switchyard::model {
namespace {

using schedule::Stage;

bool all_finite(const Tensor& values) {
  const std::vector<float> all = host_values(values.floats());
  return std::all_of(all.begin(), all.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

std::int64_t Transformer::placed_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& lane : state_->lanes) bytes += lane->arena().placed_bytes();
  return bytes;
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
