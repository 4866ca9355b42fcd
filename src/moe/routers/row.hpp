// Pieces of the kernels of several routers: what one token's row of logits gives, and what its choice gives back.
#pragma once
#include <cstdint>

#include "moe/routers/scores.hpp"
#include "tensor/lanes.hpp"
#include "tensor/math.hpp"

namespace switchyard::moe {

/// What one row of scores gives besides the scores.
struct RowResult {
  float inverse, lse, entropy;
};

KOKKOS_INLINE_FUNCTION void write_row(const RowResult& row, const Scores& s, Index t) {
  s.inverse(t) = row.inverse;
  s.lse(t) = row.lse;
  s.entropy(t) = row.entropy;
}

/// Log-sum-exp of n logits; score = exp(logit − largest), `sum` of it.
KOKKOS_INLINE_FUNCTION float log_sum_exp(int n, const float* logit, float* KOKKOS_RESTRICT score, float& sum) {
  const float top = lane_max(n, [=](int e) { return logit[e]; });
  float lane[lane_count] = {};
  int e = 0;
  for (; e + lane_count <= n; e += lane_count)
    for (int l = 0; l < lane_count; ++l) {
      score[e + l] = fast_exp(logit[e + l] - top);
      lane[l] += score[e + l];
    }
  for (int l = 0; e + l < n; ++l) {
    score[e + l] = fast_exp(logit[e + l] - top);
    lane[l] += score[e + l];
  }
  sum = lane_tree(lane);
  return top + fast_log(sum);
}

/// weight_j = scale · score of the expert chosen.
KOKKOS_INLINE_FUNCTION void weigh_by_score(float scale, const float* score, const TokenChoices& chosen) {
  for (int j = 0; j < chosen.count; ++j) chosen.weight[j] = score[chosen.expert[j]] * scale;
}

/// The choices of one token, and the gradients of their combine weights.
struct Chosen : TokenChoices {
  const float* gradient;
  KOKKOS_INLINE_FUNCTION float d(int j) const { return kept[j] ? gradient[j] : 0.0f; }
};

KOKKOS_INLINE_FUNCTION Chosen chosen_of(const Choice& choice, const Vector<float>& gradient, Index t) {
  return {choice.of(t), gradient.data() + choice.first(t)};
}

/// Σ_j weight_j · dL/dweight_j.
KOKKOS_INLINE_FUNCTION float weighted_gradient(const Chosen& chosen) {
  float sum = 0.0f;
  for (int j = 0; j < chosen.count; ++j) sum = Kokkos::fma(chosen.weight[j], chosen.d(j), sum);
  return sum;
}

}  // namespace switchyard::moe
