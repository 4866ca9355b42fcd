#include "moe/routers/softmax_scores.hpp"

#include "moe/routers/row.hpp"
#include "moe/routers/selection.hpp"
#include "moe/routers/warps.hpp"

namespace switchyard::moe {
namespace {

/// Entropy by −Σ p·log p = lse − Σ p·logit.
KOKKOS_INLINE_FUNCTION RowResult softmax_row(int n, const float* logit, float* score) {
  float sum;
  const float lse = log_sum_exp(n, logit, score, sum);
  const float inverse = 1.0f / sum;
  for (int e = 0; e < n; ++e) score[e] *= inverse;
  return {1.0f, lse, lane_sum(n, [=](int e) { return score[e] * (lse - logit[e]); })};
}

/// Combine weights: softmax over the logits of the chosen.
KOKKOS_INLINE_FUNCTION void weigh_by_softmax(float scale, const float* logit, const TokenChoices& chosen) {
  const std::int32_t* expert = chosen.expert;
  float* weight = chosen.weight;
  float top = -INFINITY, sum = 0.0f;
  for (int j = 0; j < chosen.count; ++j) top = logit[expert[j]] > top ? logit[expert[j]] : top;
  for (int j = 0; j < chosen.count; ++j) {
    weight[j] = fast_exp(logit[expert[j]] - top);
    sum += weight[j];
  }
  for (int j = 0; j < chosen.count; ++j) weight[j] = weight[j] / sum * scale;
}

/// gradient = dL/dlogit through p and the log-sum-exp, on top of the logits themselves; `through` is what reaches Σ
/// p·dL/dp through the weights.
KOKKOS_INLINE_FUNCTION void softmax_row_gradient(int n, const float* score, const float* KOKKOS_RESTRICT coefficient,
                                                 float through, float z, float* KOKKOS_RESTRICT gradient) {
  const float dot = lane_dot(score, coefficient, n) + through;
  for (int e = 0; e < n; ++e) gradient[e] = score[e] * (coefficient[e] - dot + z);
}

/// Adds what flows through the weights of a softmax, before or after selection.
KOKKOS_INLINE_FUNCTION void add_softmax_weights(const RouterShape& shape, const Chosen& chosen, float* gradient) {
  const float dot = shape.normalise == Normalise::after ? weighted_gradient(chosen) / shape.scale : 0.0f;
  for (int j = 0; j < chosen.count; ++j)
    gradient[chosen.expert[j]] += chosen.weight[j] * (chosen.d(j) - dot);  // before: Σ p·dL/dp is taken off all rows
}

void weigh_softmax(const Queue& queue, const RouterShape& shape, const Scores& s, const Choice& choice) {
  Kokkos::parallel_for(
      "switchyard::moe::softmax::weigh", queue.range(choice.tokens()), KOKKOS_LAMBDA(Index t) {
        if (shape.normalise == Normalise::after)
          weigh_by_softmax(shape.scale, &s.logits(t, 0), choice.of(t));
        else
          weigh_by_score(shape.scale, &s.score(t, 0), choice.of(t));
      });
}

void score_softmax(const Queue& queue, const Scores& s) {
  if constexpr (!on_host)
    if (warps::serve(s.score.extent(1))) return warps::score(queue, {}, s);
  const int n = static_cast<int>(s.score.extent(1));
  Kokkos::parallel_for(
      "switchyard::moe::softmax::score", queue.range(s.score.extent(0)),
      KOKKOS_LAMBDA(Index t) { write_row(softmax_row(n, &s.logits(t, 0), &s.score(t, 0)), s, t); });
}

}  // namespace

void score_by_softmax(const Queue& queue, const RouterPass& pass, const nn::Linear* product) {
  if constexpr (!on_host)
    if (product && warps::multiplies(product->weight(), pass.x))
      return warps::score(queue, {}, product->weight(), pass);
  if (product) product->forward(queue, pass.x, pass.scores.logits);
  score_softmax(queue, pass.scores);
}

void route_by_softmax(const Queue& queue, const RouterShape& shape, const Vector<float>& bias, const RouterPass& pass,
                      const nn::Linear* product) {
  const Scores& s = pass.scores;
  const bool by_logits = !shape.biased && shape.groups == 1;
  if constexpr (!on_host) {
    const warps::Scoring scoring{warps::Family::softmax, true, by_logits};
    if (product && warps::multiplies(product->weight(), pass.x))
      return warps::route(queue, shape, scoring, {product->weight(), bias}, pass);
    if (warps::serve(shape.experts)) {
      if (product) product->forward(queue, pass.x, s.logits);
      return warps::route(queue, shape, scoring, bias, pass);
    }
  }
  if (product) product->forward(queue, pass.x, s.logits);
  score_softmax(queue, s);
  select(queue, shape, {by_logits ? s.logits : s.score, s.score, bias}, pass.choice, pass.margin);
  weigh_softmax(queue, shape, s, pass.choice);
}

void softmax_gradient(const Queue& queue, const RouterShape& shape, const ScoreGradient& g, const RouterPass& pass) {
  if constexpr (!on_host)
    if (warps::serve(shape.experts)) return warps::gradient(queue, shape, warps::Family::softmax, g, pass);
  const Scores& s = pass.scores;
  const Choice& choice = pass.choice;
  const int n = shape.experts;
  Kokkos::parallel_for(
      "switchyard::moe::softmax::gradient", queue.range(s.score.extent(0)), KOKKOS_LAMBDA(Index t) {
        const Chosen chosen = chosen_of(choice, g.weight, t);
        const float through = shape.normalise == Normalise::before ? weighted_gradient(chosen) : 0.0f;
        softmax_row_gradient(n, &s.score(t, 0), &g.coefficients(t / g.unit_tokens, 0), through, g.z * s.lse(t),
                             &s.logits(t, 0));
        add_softmax_weights(shape, chosen, &s.logits(t, 0));
      });
}

}  // namespace switchyard::moe
