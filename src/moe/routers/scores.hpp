// What a router makes of the tokens of one pass, and what flows back into it: plain data that its kernels read and
// write.
#pragma once
#include <cstdint>

#include "config/config.hpp"
#include "tensor/arena.hpp"
#include "tensor/queue.hpp"

namespace switchyard::moe {

constexpr int max_choices = 32;  ///< largest k
constexpr int max_groups = 64;   ///< all of which may be kept

/// The options of routers that their kernels read.
struct RouterShape {
  Normalise normalise = Normalise::after;
  GroupScore group_score = GroupScore::top2_sum;
  int experts = 1;
  int top_k = 1;
  int groups = 1;
  int groups_kept = 1;
  bool biased = false;  ///< a bias rule is set
  float scale = 1.0f;
};

RouterShape router_shape(const MoeConfig& moe, int experts);

/// Of N tokens and E experts, device. p = score · inverse are the normalised scores, with sum 1.
struct Scores {
  Matrix<float> logits;   ///< (N, E) noise included; their gradient after Router::backward; none of a router without
  Matrix<float> score;    ///< (N, E)
  Matrix<float> slope;    ///< (N, E) of a router with a second parameter: d logit / d noise logit
  Vector<float> inverse;  ///< (N)
  Vector<float> lse;      ///< (N) log-sum-exp of the logits; 0 where no loss wants it
  Vector<float> entropy;  ///< (N) of p, nat
};

/// `products`: how many parameters the tokens are multiplied by, 0 to 2.
Scores make_scores(Arena& arena, int experts, Index tokens, std::size_t products);

/// The choices of one token, `count` of them.
struct TokenChoices {
  int count;
  std::int32_t* expert;
  float* weight;
  const std::uint8_t* kept;
};

/// What routing decided for N tokens: the choices of token t are [first(t), first(t + 1)), none or more, in falling
/// order of selection. There is memory for C of them; first(0) = 0 and first(N) <= C. Device memory.
struct Choice {
  Vector<std::int32_t> first;   ///< (N + 1)
  Vector<std::int32_t> expert;  ///< (C) different experts for one token
  Vector<float> weight;         ///< (C) combine weight, moe.scale included; not renormalised after a drop
  Vector<std::uint8_t> kept;    ///< (C) 0 where dropped

  KOKKOS_INLINE_FUNCTION Index tokens() const { return static_cast<Index>(first.extent(0)) - 1; }
  KOKKOS_INLINE_FUNCTION Index capacity() const { return static_cast<Index>(expert.extent(0)); }
  KOKKOS_INLINE_FUNCTION TokenChoices of(Index t) const {
    const Index i = first(t);
    return {static_cast<int>(first(t + 1) - i), expert.data() + i, weight.data() + i, kept.data() + i};
  }
};

/// Memory for k choices of each token, which each of them has: `first` is written here, once.
Choice make_choice(Arena& arena, Index tokens, int top_k);

/// What flows back into scores: through the combine weights, through p (`coefficients`), and through the log-sum-exp.
struct ScoreGradient {
  Vector<float> weight;        ///< (C) of the combine weights; ignored where dropped
  Matrix<float> coefficients;  ///< (units, E) dL/dp of each token of a unit
  Index unit_tokens;           ///< tokens of one unit
  float z;                     ///< dL/dlse of a token by its log-sum-exp: 2·coefficient / tokens of the batch
};

}  // namespace switchyard::moe
