#include "moe/routers/scores.hpp"

#include <limits>

#include "base/check.hpp"
#include "config/routers.hpp"

namespace switchyard::moe {
namespace {

/// first(t) = t·k.
void write_starts(Index top_k, const Vector<std::int32_t>& first) {
  const auto host = Kokkos::create_mirror_view(first);
  const Index tokens = static_cast<Index>(host.extent(0)) - 1;
  expect(tokens * top_k <= std::numeric_limits<std::int32_t>::max(), "choices of one rank that int32 can count");
  for (Index t = 0; t <= tokens; ++t) host(t) = static_cast<std::int32_t>(t * top_k);
  Kokkos::deep_copy(first, host);
}

}  // namespace

RouterShape router_shape(const MoeConfig& moe, int experts) {
  return {normalise_of(moe),
          moe.group_score,
          experts,
          moe.top_k,
          moe.groups,
          moe.groups_kept,
          moe.bias_rule != BiasRule::none,
          static_cast<float>(moe.scale)};
}

Scores make_scores(Arena& arena, int experts, Index tokens, std::size_t products) {
  Scores s;
  s.logits = arena.matrix<float>(products > 0 ? tokens : 0, experts);
  s.score = arena.matrix<float>(tokens, experts);
  s.slope = arena.matrix<float>(products > 1 ? tokens : 0, experts);
  s.inverse = arena.vector<float>(tokens);
  s.lse = arena.vector<float>(tokens);
  s.entropy = arena.vector<float>(tokens);
  return s;
}

Choice make_choice(Arena& arena, Index tokens, int top_k) {
  const Index capacity = tokens * top_k;
  const Choice choice{arena.vector<std::int32_t>(tokens + 1), arena.vector<std::int32_t>(capacity),
                      arena.vector<float>(capacity), arena.vector<std::uint8_t>(capacity)};
  if (arena.places()) write_starts(top_k, choice.first);
  return choice;
}

}  // namespace switchyard::moe
