// What a backward pass makes again of which blocks, rather than keep it from the forward pass (layout.recompute).
#pragma once
#include <algorithm>

#include "config/config.hpp"

namespace switchyard {

/// What is made again of a block: `experts`, the hidden rows of the experts of a mixture; `blocks`, all that is made
/// between its input and its output, but what docs/architecture.md says is kept.
inline Recompute recomputed(const Config& config, int block) {
  const std::vector<int>& chosen = config.layout.recompute_blocks;
  const bool meant = chosen.empty() || std::find(chosen.begin(), chosen.end(), block) != chosen.end();
  const bool nothing = config.layout.recompute == Recompute::experts && config.block_experts(block) == 0;
  return meant && !nothing ? config.layout.recompute : Recompute::none;
}

/// Whether all of a block is made again.
inline bool whole_block_recomputed(const Config& config, int block) {
  return recomputed(config, block) == Recompute::blocks;
}

}  // namespace switchyard
