// What the files of a run share about its layers: their blocks, and the routing of tokens, (tokens, layers, choices).
#pragma once
#include <cstdint>
#include <vector>

#include "base/check.hpp"
#include "config/moe_layers.hpp"
#include "moe/statistics.hpp"

namespace switchyard::record {

struct RoutingColumns {
  std::vector<std::int16_t> expert;  ///< −1 beyond the choices of a layer
  std::vector<float> weight;
  std::vector<std::uint8_t> kept;
};

/// The transformer block of each layer.
inline std::vector<std::int32_t> blocks_of(const std::vector<MoeLayer>& layers) {
  std::vector<std::int32_t> blocks;
  for (const MoeLayer& layer : layers) blocks.push_back(layer.block);
  return blocks;
}

/// Puts the layers' samples, each (tokens, choices of the layer), side by side.
inline RoutingColumns interleave(const std::vector<moe::RoutingSample>& layers, std::size_t tokens,
                                 std::size_t choices) {
  const std::size_t n = tokens * layers.size() * choices;
  RoutingColumns out{std::vector<std::int16_t>(n, -1), std::vector<float>(n), std::vector<std::uint8_t>(n)};
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const moe::RoutingSample& layer = layers[l];
    const std::size_t k = tokens ? layer.experts.size() / tokens : 0;
    expect(k <= choices && layer.experts.size() == k * tokens && layer.weights.size() == k * tokens &&
               layer.kept.size() == k * tokens,
           "a sample of every token");
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t c = 0; c < k; ++c) {
        const std::size_t to = (t * layers.size() + l) * choices + c;
        out.expert[to] = static_cast<std::int16_t>(layer.experts[t * k + c]);
        out.weight[to] = layer.weights[t * k + c];
        out.kept[to] = layer.kept[t * k + c];
      }
    }
  }
  return out;
}

}  // namespace switchyard::record
