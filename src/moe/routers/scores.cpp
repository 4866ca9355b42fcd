#include "moe/routers/scores.hpp"

namespace switchyard::moe {

RouterShape router_shape(const MoeConfig& moe, int experts) {
  return {moe.normalise,
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
  return {arena.matrix<std::int32_t>(tokens, top_k), arena.matrix<float>(tokens, top_k),
          arena.matrix<std::uint8_t>(tokens, top_k)};
}

}  // namespace switchyard::moe
