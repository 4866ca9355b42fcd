// How many rows, choices and tokens a rank has of a lane where all experts are chosen equally often: what memory is
// made for at first.
#pragma once
#include "config/config.hpp"
#include "config/even_routing.hpp"
#include "config/layout.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe {

/// Calls f(place) for the places of the expert-parallel group whose tokens are handed to experts by number `near` of
/// the near places: itself, or, where rows go by nodes, all those with its number on their node.
template <class F>
void for_sources(const Layout& layout, Index near, const F& f) {
  for (Index p = near; p < layout.expert_parallel; p += layout.near_places().size()) f(static_cast<int>(p));
}
inline Index my_near(const Layout& layout) { return layout.place() - layout.near_places().first; }
inline Range lane_grains_from(const Layout& layout, int place) {
  return layout.lane_grains_of(layout.group() * layout.expert_parallel + place);
}

/// Expert rows of this rank in a layer of `experts`, and the most choices of its tokens: of the lane that the layout is
/// seen from.
Index even_expert_rows(const Config& config, const Layout& layout, int experts);
Index most_expert_rows(const Config& config, const Layout& layout);  ///< of the largest layer
Index most_choices(const Config& config, const Layout& layout);
Index lane_tokens(const Config& config, const Layout& layout);

/// Of the hidden width of an expert, what a rank has.
inline Index rank_hidden(const Config& config, const Layout& layout) {
  return Index{config.moe.hidden} / layout.expert_tensor_parallel;
}

using switchyard::sums_by_node;
/// Expert outputs that came home, or to the rank that handed their rows on, are kept there (CombinePass) for the
/// gradients of combine weights: where none travelled they are those of the experts.
bool outputs_kept_apart(const Config& config, const Layout& layout);

/// What a rank hands to experts itself.
struct HandedOn {
  Index tokens = 0;   ///< that have choices there
  Index choices = 0;  ///< kept
};
HandedOn handed_on(const Config& config, const Layout& layout, int experts);
HandedOn most_handed_on(const Config& config, const Layout& layout);  ///< of the largest layer

/// Rows that leave where each token sends one to every node that holds experts of its choices.
Index even_token_rows(const Config& config, const Layout& layout, int experts);
Index most_token_rows(const Config& config, const Layout& layout);

}  // namespace switchyard::moe
