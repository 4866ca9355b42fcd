#include "moe/even_loads.hpp"

#include <algorithm>
#include <cmath>

#include "config/moe_layers.hpp"

namespace switchyard::moe {
namespace {

template <class F>
Index most_of_layers(const Config& config, const F& of) {
  Index most = 0;
  for (const MoeLayer& layer : moe_layers(config)) most = std::max(most, of(layer.experts));
  return most;
}

}  // namespace

Index even_expert_rows(const Config& config, const Layout& layout, int experts) {
  const Index tokens = layout.group_lane_grains() * config.grain_sequences() * config.model.context;
  return tokens * config.moe.top_k * layout.my_experts(experts).size() / experts;
}

Index most_expert_rows(const Config& config, const Layout& layout) {
  return most_of_layers(config, [&](int experts) { return even_expert_rows(config, layout, experts); });
}

Index lane_tokens(const Config& config, const Layout& layout) {
  return layout.my_lane_grains().size() * config.grain_sequences() * config.model.context;
}

Index most_choices(const Config& config, const Layout& layout) {
  return lane_tokens(config, layout) * config.moe.top_k;
}

bool outputs_kept_apart(const Config& config, const Layout& layout) {
  return layout.near_places().size() > 1 || (layout.by_nodes() && !sums_by_node(config, layout));
}

HandedOn handed_on(const Config& config, const Layout& layout, int experts) {
  if (!layout.by_nodes()) return {lane_tokens(config, layout), most_choices(config, layout)};
  Index tokens = 0;
  for_sources(layout, my_near(layout), [&](int p) { tokens += lane_grains_from(layout, p).size(); });
  tokens *= config.grain_sequences() * config.model.context;
  const Index here = layout.experts_of_node(layout.node_of_place(layout.place()), experts).size();
  const double share = share_with_one_among(here, experts, config.moe.top_k);
  return {static_cast<Index>(std::ceil(double(tokens) * share)), tokens * config.moe.top_k * here / experts};
}

HandedOn most_handed_on(const Config& config, const Layout& layout) {
  return {most_of_layers(config, [&](int experts) { return handed_on(config, layout, experts).tokens; }),
          most_of_layers(config, [&](int experts) { return handed_on(config, layout, experts).choices; })};
}

Index even_token_rows(const Config& config, const Layout& layout, int experts) {
  double rows = 0.0;
  for (int node = 0; layout.by_nodes() && node < layout.group_nodes(); ++node)
    rows += share_with_one_among(layout.experts_of_node(node, experts).size(), experts, config.moe.top_k);
  return static_cast<Index>(std::ceil(rows * double(lane_tokens(config, layout))));
}

Index most_token_rows(const Config& config, const Layout& layout) {
  return most_of_layers(config, [&](int experts) { return even_token_rows(config, layout, experts); });
}

}  // namespace switchyard::moe
