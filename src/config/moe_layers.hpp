// The mixture-of-experts layers of a configuration: which blocks have experts, and how many.
#pragma once
#include <algorithm>
#include <vector>

#include "config/config.hpp"

namespace switchyard {

struct MoeLayer {
  int block;    ///< from 0
  int experts;  ///< E > 0
};

/// In block order.
inline std::vector<MoeLayer> moe_layers(const Config& config) {
  std::vector<MoeLayer> layers;
  for (int b = 0; b < config.model.blocks; ++b)
    if (const int experts = config.block_experts(b); experts > 0) layers.push_back({b, experts});
  return layers;
}

/// E of the largest layer; 0 where there is none.
inline int largest_layer(const std::vector<MoeLayer>& layers) {
  int largest = 0;
  for (const MoeLayer& layer : layers) largest = std::max(largest, layer.experts);
  return largest;
}

}  // namespace switchyard
