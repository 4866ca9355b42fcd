#include "moe/scores.hpp"

#include "moe/selection.hpp"
#include "tensor/lanes.hpp"
#include "tensor/math.hpp"

namespace switchyard::moe {
namespace {

/// What one row of scores gives besides the scores.
struct RowResult {
  float inverse, lse, entropy;
};

/// Log-sum-exp; score = exp(logit − largest), `sum` of it.
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

/// Entropy by −Σ p·log p = lse − Σ p·logit.
KOKKOS_INLINE_FUNCTION RowResult softmax_row(int n, const float* logit, float* score) {
  float sum;
  const float lse = log_sum_exp(n, logit, score, sum);
  const float inverse = 1.0f / sum;
  for (int e = 0; e < n; ++e) score[e] *= inverse;
  return {1.0f, lse, lane_sum(n, [=](int e) { return score[e] * (lse - logit[e]); })};
}

/// 1 / (1 + exp(−x)) that keeps relative precision at both ends.
KOKKOS_INLINE_FUNCTION float logistic(float x) {
  const float z = fast_exp(-magnitude(x)), larger = 1.0f / (1.0f + z);
  return x < 0.0f ? z * larger : larger;
}

/// Entropy of p = s / S by log S − Σ s·log s / S.
KOKKOS_INLINE_FUNCTION RowResult sigmoid_row(int n, const float* logit, float* KOKKOS_RESTRICT score, bool wants_lse) {
  float sum, lse = 0.0f;
  if (wants_lse) lse = log_sum_exp(n, logit, score, sum);
  for (int e = 0; e < n; ++e) score[e] = logistic(logit[e]);
  const float* s = score;
  sum = lane_sum(n, [=](int e) { return s[e]; });
  const float weighted = lane_sum(n, [=](int e) { return s[e] * fast_log(s[e] > 1e-37f ? s[e] : 1e-37f); });
  const float inverse = 1.0f / (sum + 1e-20f);
  return {inverse, lse, fast_log(sum + 1e-20f) - weighted * inverse};
}

/// gradient = dL/dlogit through p and the log-sum-exp, on top of the logits themselves; `through` is what reaches Σ
/// p·dL/dp through the weights.
KOKKOS_INLINE_FUNCTION void softmax_row_gradient(int n, const float* score, const float* KOKKOS_RESTRICT coefficient,
                                                 float through, float z, float* KOKKOS_RESTRICT gradient) {
  const float dot = lane_dot(score, coefficient, n) + through;
  for (int e = 0; e < n; ++e) gradient[e] = score[e] * (coefficient[e] - dot + z);
}

KOKKOS_INLINE_FUNCTION void sigmoid_row_gradient(int n, const float* score, float inverse,
                                                 const float* KOKKOS_RESTRICT coefficient,
                                                 float* KOKKOS_RESTRICT gradient) {
  const float dot = lane_dot(score, coefficient, n) * inverse;
  for (int e = 0; e < n; ++e) gradient[e] += (coefficient[e] - dot) * inverse * (score[e] - score[e] * score[e]);
}

/// gradient = z·softmax(logits), on top of the logits.
KOKKOS_INLINE_FUNCTION void z_row_gradient(int n, float lse, float z, float* gradient) {
  for (int e = 0; e < n; ++e) gradient[e] = z == 0.0f ? 0.0f : z * fast_exp(gradient[e] - lse);
}

/// The chosen experts of one token, and the gradients of their combine weights.
struct Chosen {
  const std::int32_t* expert;
  const float* weight;
  const std::uint8_t* kept;
  const float* gradient;
  KOKKOS_INLINE_FUNCTION float d(int j) const { return kept[j] ? gradient[j] : 0.0f; }
};

/// Σ_j weight_j · dL/dweight_j.
KOKKOS_INLINE_FUNCTION float weighted_gradient(int k, const Chosen& chosen) {
  float sum = 0.0f;
  for (int j = 0; j < k; ++j) sum = Kokkos::fma(chosen.weight[j], chosen.d(j), sum);
  return sum;
}

/// Adds what flows through the weights of a softmax, before or after selection.
KOKKOS_INLINE_FUNCTION void add_softmax_weights(const RouterShape& shape, const Chosen& chosen, float* gradient) {
  const float dot = shape.normalise == Normalise::after ? weighted_gradient(shape.top_k, chosen) / shape.scale : 0.0f;
  for (int j = 0; j < shape.top_k; ++j)
    gradient[chosen.expert[j]] += chosen.weight[j] * (chosen.d(j) - dot);  // before: Σ p·dL/dp is taken off all rows
}

/// Adds what flows through the weights of sigmoids: w = scale·s, or scale·s / (Σ selected s + 1e-20).
KOKKOS_INLINE_FUNCTION void add_sigmoid_weights(const RouterShape& shape, const Chosen& chosen, const float* score,
                                                float* gradient) {
  float divisor = 1.0f, dot = 0.0f;
  if (shape.normalise == Normalise::after) {
    float sum = 0.0f;
    for (int j = 0; j < shape.top_k; ++j) sum += score[chosen.expert[j]];
    divisor = sum + 1e-20f;
    dot = weighted_gradient(shape.top_k, chosen);
  }
  for (int j = 0; j < shape.top_k; ++j) {
    const float s = score[chosen.expert[j]];
    gradient[chosen.expert[j]] += (shape.scale * chosen.d(j) - dot) / divisor * (s - s * s);
  }
}

KOKKOS_INLINE_FUNCTION void row_gradient(const RouterShape& shape, const Chosen& chosen, const float* coefficient,
                                         const float* score, RowResult row, float* gradient) {
  const float z = row.entropy;  // carries z·lse here
  if (shape.router == RouterKind::sigmoid) {
    z_row_gradient(shape.experts, row.lse, z, gradient);
    sigmoid_row_gradient(shape.experts, score, row.inverse, coefficient, gradient);
    return add_sigmoid_weights(shape, chosen, score, gradient);
  }
  const float through = shape.normalise == Normalise::before ? weighted_gradient(shape.top_k, chosen) : 0.0f;
  softmax_row_gradient(shape.experts, score, coefficient, through, z, gradient);
  add_softmax_weights(shape, chosen, gradient);
}

}  // namespace

RouterShape router_shape(const MoeConfig& moe, int experts) {
  return {moe.router,
          moe.normalise,
          moe.group_score,
          experts,
          moe.top_k,
          moe.groups,
          moe.groups_kept,
          moe.bias_rule != BiasRule::none,
          static_cast<float>(moe.scale)};
}

Scores make_scores(const RouterShape& shape, Index tokens) {
  Scores s;
  const bool noisy = shape.router == RouterKind::noisy_topk;
  s.logits =
      make_view<Matrix<float>>("moe::scores::logits", shape.router == RouterKind::hash ? 0 : tokens, shape.experts);
  s.score = make_view<Matrix<float>>("moe::scores::score", tokens, shape.experts);
  s.slope = make_view<Matrix<float>>("moe::scores::slope", noisy ? tokens : 0, shape.experts);
  s.inverse = make_view<Vector<float>>("moe::scores::inverse", tokens);
  s.lse = make_view<Vector<float>>("moe::scores::lse", tokens);
  s.entropy = make_view<Vector<float>>("moe::scores::entropy", tokens);
  return s;
}

void score_tokens(const RouterShape& shape, bool wants_lse, const Scores& s) {
  const int n = shape.experts;
  const bool sigmoids = shape.router == RouterKind::sigmoid;
  Kokkos::parallel_for(
      "switchyard::moe::scores::score", Kokkos::RangePolicy<Device>(0, s.score.extent(0)), KOKKOS_LAMBDA(Index t) {
        const RowResult row = sigmoids ? sigmoid_row(n, &s.logits(t, 0), &s.score(t, 0), wants_lse)
                                       : softmax_row(n, &s.logits(t, 0), &s.score(t, 0));
        s.inverse(t) = row.inverse;
        s.lse(t) = row.lse;
        s.entropy(t) = row.entropy;
      });
}

void score_gradient(const RouterShape& shape, const ScoreGradient& g, const Choice& choice, const Scores& s) {
  Kokkos::parallel_for(
      "switchyard::moe::scores::gradient", Kokkos::RangePolicy<Device>(0, s.score.extent(0)), KOKKOS_LAMBDA(Index t) {
        const Chosen chosen{&choice.expert(t, 0), &choice.weight(t, 0), &choice.kept(t, 0), &g.weight(t, 0)};
        row_gradient(shape, chosen, &g.coefficients(t / g.unit_tokens, 0), &s.score(t, 0),
                     {s.inverse(t), s.lse(t), g.z * s.lse(t)}, &s.logits(t, 0));
      });
}

}  // namespace switchyard::moe
