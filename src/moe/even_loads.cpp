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

int stop_of_weights(const Config& config, const Layout& layout) {
  int stop = 0;
  for (const Leg& leg : layout.legs()) {
    if (!sums_on(config, layout, leg)) break;
    ++stop;
  }
  return stop;
}

bool outputs_kept_apart(const Config& config, const Layout& layout) {
  return layout.near_places().size() > 1 || stop_of_weights(config, layout) < std::ssize(layout.legs());
}

namespace {

/// All that a rank can have at a stop.
Index tokens_of_sources(int stop, const Config& config, const Layout& layout) {
  Index grains = 0;
  layout.for_sources(stop, layout.place(), [&](int p) { grains += lane_grains_from(layout, p).size(); });
  return grains * config.grain_sequences() * config.model.context;
}

}  // namespace

HandedOn at_stop(int stop, const Config& config, const Layout& layout, int experts) {
  if (stop == 0) return {lane_tokens(config, layout), most_choices(config, layout)};
  const Index tokens = tokens_of_sources(stop, config, layout);
  const int width = layout.legs()[static_cast<std::size_t>(stop - 1)].width;
  const Index here = layout.experts_of_part(width, layout.place() / width, experts).size();
  const double share = share_with_one_among(here, experts, config.moe.top_k);
  return {static_cast<Index>(std::ceil(double(tokens) * share)), tokens * config.moe.top_k * here / experts};
}

HandedOn most_at_stop(int stop, const Config& config, const Layout& layout) {
  return {most_of_layers(config, [&](int experts) { return at_stop(stop, config, layout, experts).tokens; }),
          most_of_layers(config, [&](int experts) { return at_stop(stop, config, layout, experts).choices; })};
}

HandedOn handed_on(const Config& config, const Layout& layout, int experts) {
  return at_stop(static_cast<int>(layout.legs().size()), config, layout, experts);
}

HandedOn most_handed_on(const Config& config, const Layout& layout) {
  return most_at_stop(static_cast<int>(layout.legs().size()), config, layout);
}

Index even_token_rows(int leg, const Config& config, const Layout& layout, int experts) {
  const Leg of = layout.legs()[static_cast<std::size_t>(leg)];
  double rows = 0.0;
  for (std::int64_t part = of.parts.first; part < of.parts.last; ++part)
    rows += share_with_one_among(layout.experts_of_part(of.width, static_cast<int>(part), experts).size(), experts,
                                 config.moe.top_k);
  return static_cast<Index>(std::ceil(rows * double(tokens_of_sources(leg, config, layout))));
}

Index most_token_rows(int leg, const Config& config, const Layout& layout) {
  return most_of_layers(config, [&](int experts) { return even_token_rows(leg, config, layout, experts); });
}

}  // namespace switchyard::moe
