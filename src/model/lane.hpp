// A lane: a part of a rank's grains on its way through the model, and all that it keeps between forward and backward.
#pragma once
#include <vector>

#include "model/block.hpp"
#include "model/embedding.hpp"
#include "model/head.hpp"

namespace switchyard::model {

/// All memory of its pass but for SharedRows; the modules of a Transformer hold parameters only.
struct Lane {
  /// The one that `layout` is seen from; `shared` must live. Working memory is for `threads` host threads.
  Lane(Arena& arena, const Config& config, const Layout& layout, SharedRows& shared, int threads);
  Lane(const Lane&) = delete;

  nn::Rows rows;
  BlockScratch scratch;
  DeviceIndex index;
  std::vector<BlockPass> blocks;
  nn::NormPass final_norm;
  HeadPass head;
  std::vector<Tensor> stream;  ///< (blocks + 1) of (N, d): the residual stream between blocks
  Tensor head_in;              ///< (N, d)
  nn::StreamGradient gradient;
  Staged<std::int32_t> ids;          ///< (N)
  std::vector<std::int32_t> tokens;  ///< (N)
  moe::TokenSet token_set;
  bool backward_due = false;
  bool indexed = false;  ///< whether `index` is that of the tokens
};

}  // namespace switchyard::model
