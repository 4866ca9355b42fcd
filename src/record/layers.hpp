// The mixture-of-experts layers of a configuration, as the record files list them.
#pragma once
#include <algorithm>
#include <vector>

#include "config/config.hpp"

namespace switchyard::record {

struct RecordedLayer {
  int block;    ///< from 0
  int experts;  ///< E > 0
};

inline std::vector<RecordedLayer> recorded_layers(const Config& config) {
  std::vector<RecordedLayer> layers;
  for (int b = 0; b < config.model.blocks; ++b)
    if (const int experts = config.block_experts(b); experts > 0) layers.push_back({b, experts});
  return layers;
}

/// E of the largest layer; 0 where there is none.
inline int largest_layer(const std::vector<RecordedLayer>& layers) {
  int largest = 0;
  for (const auto& layer : layers) largest = std::max(largest, layer.experts);
  return largest;
}

}  // namespace switchyard::record
