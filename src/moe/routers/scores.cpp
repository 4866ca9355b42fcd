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

Scores make_scores(int experts, Index tokens, std::size_t products) {
  Scores s;
  s.logits = make_view<Matrix<float>>("moe::scores::logits", products > 0 ? tokens : 0, experts);
  s.score = make_view<Matrix<float>>("moe::scores::score", tokens, experts);
  s.slope = make_view<Matrix<float>>("moe::scores::slope", products > 1 ? tokens : 0, experts);
  s.inverse = make_view<Vector<float>>("moe::scores::inverse", tokens);
  s.lse = make_view<Vector<float>>("moe::scores::lse", tokens);
  s.entropy = make_view<Vector<float>>("moe::scores::entropy", tokens);
  return s;
}

Choice make_choice(Index tokens, int top_k) {
  return {make_view<Matrix<std::int32_t>>("moe::choice::expert", tokens, top_k),
          make_view<Matrix<float>>("moe::choice::weight", tokens, top_k),
          make_view<Matrix<std::uint8_t>>("moe::choice::kept", tokens, top_k)};
}

}  // namespace switchyard::moe
