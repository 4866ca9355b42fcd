// How many rows, choices and tokens a rank has of a lane where all experts are chosen equally often: what memory is
// made for at first.
#pragma once
#include "config/config.hpp"
#include "config/even_routing.hpp"
#include "config/layout.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe {

/// Calls f(place) for the places of the expert-parallel group whose tokens are handed to experts by number `near` of
/// the near places: itself, or, where rows go by nodes, all those whose rows its legs bring it.
template <class F>
void for_sources(const Layout& layout, Index near, const F& f) {
  layout.for_sources(static_cast<int>(layout.legs().size()), static_cast<int>(layout.near_places().first + near), f);
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

using switchyard::sums_on;
/// *Stops* of a way: number 0 is a token's rank, number s where leg s − 1 brings its rows; the last hands them to
/// experts. Where expert outputs come home one by one, not as sums, for the first time on their way back from there,
/// seen from the token; there the gradients of combine weights are made.
int stop_of_weights(const Config& config, const Layout& layout);
/// Expert outputs are kept at that stop (CombinePass), for these gradients: where none travelled they are those of the
/// experts.
bool outputs_kept_apart(const Config& config, const Layout& layout);

/// What a rank has at a stop.
struct HandedOn {
  Index tokens = 0;   ///< that have choices there
  Index choices = 0;  ///< kept
};
HandedOn at_stop(int stop, const Config& config, const Layout& layout, int experts);
HandedOn most_at_stop(int stop, const Config& config, const Layout& layout);  ///< of the largest layer
/// What it hands to experts itself: at the last.
HandedOn handed_on(const Config& config, const Layout& layout, int experts);
HandedOn most_handed_on(const Config& config, const Layout& layout);

/// Rows that leave on a leg, where each token sends one to every part with experts of its choices.
Index even_token_rows(int leg, const Config& config, const Layout& layout, int experts);
Index most_token_rows(int leg, const Config& config, const Layout& layout);

}  // namespace switchyard::moe
