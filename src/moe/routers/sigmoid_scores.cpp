#include "moe/routers/sigmoid_scores.hpp"

#include "moe/routers/row.hpp"
#include "moe/routers/selection.hpp"
#include "moe/routers/warps.hpp"

namespace switchyard::moe {
namespace {

constexpr float tiny = 1e-20f;  ///< keeps sums of scores that may all be 0 from dividing by it

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
  const float inverse = 1.0f / (sum + tiny);
  return {inverse, lse, fast_log(sum + tiny) - weighted * inverse};
}

/// Combine weights: scores of the chosen by their sum.
KOKKOS_INLINE_FUNCTION void weigh_by_share(float scale, const float* score, const TokenChoices& chosen) {
  float sum = 0.0f;
  for (int j = 0; j < chosen.count; ++j) sum += score[chosen.expert[j]];
  for (int j = 0; j < chosen.count; ++j) chosen.weight[j] = score[chosen.expert[j]] / (sum + tiny) * scale;
}

/// gradient = z·softmax(logits), on top of the logits.
KOKKOS_INLINE_FUNCTION void z_row_gradient(int n, float lse, float z, float* gradient) {
  for (int e = 0; e < n; ++e) gradient[e] = z == 0.0f ? 0.0f : z * fast_exp(gradient[e] - lse);
}

/// Adds what flows through p.
KOKKOS_INLINE_FUNCTION void add_sigmoid_row_gradient(int n, const float* score, float inverse,
                                                     const float* KOKKOS_RESTRICT coefficient,
                                                     float* KOKKOS_RESTRICT gradient) {
  const float dot = lane_dot(score, coefficient, n) * inverse;
  for (int e = 0; e < n; ++e) gradient[e] += (coefficient[e] - dot) * inverse * (score[e] - score[e] * score[e]);
}

/// Adds what flows through the weights: w = scale·s, or scale·s / (Σ selected s + tiny).
KOKKOS_INLINE_FUNCTION void add_sigmoid_weights(const RouterShape& shape, const Chosen& chosen, const float* score,
                                                float* gradient) {
  float divisor = 1.0f, dot = 0.0f;
  if (shape.normalise == Normalise::after) {
    float sum = 0.0f;
    for (int j = 0; j < chosen.count; ++j) sum += score[chosen.expert[j]];
    divisor = sum + tiny;
    dot = weighted_gradient(chosen);
  }
  for (int j = 0; j < chosen.count; ++j) {
    const float s = score[chosen.expert[j]];
    gradient[chosen.expert[j]] += (shape.scale * chosen.d(j) - dot) / divisor * (s - s * s);
  }
}

void weigh_sigmoid(const Queue& queue, const RouterShape& shape, const Scores& s, const Choice& choice) {
  Kokkos::parallel_for(
      "switchyard::moe::sigmoid::weigh", queue.range(choice.tokens()), KOKKOS_LAMBDA(Index t) {
        if (shape.normalise == Normalise::after)
          weigh_by_share(shape.scale, &s.score(t, 0), choice.of(t));
        else
          weigh_by_score(shape.scale, &s.score(t, 0), choice.of(t));
      });
}

void score_sigmoid(const Queue& queue, bool wants_lse, const Scores& s) {
  if constexpr (!on_host)
    if (warps::serve(s.score.extent(1))) return warps::score(queue, {warps::Family::sigmoid, wants_lse, false}, s);
  const int n = static_cast<int>(s.score.extent(1));
  Kokkos::parallel_for(
      "switchyard::moe::sigmoid::score", queue.range(s.score.extent(0)),
      KOKKOS_LAMBDA(Index t) { write_row(sigmoid_row(n, &s.logits(t, 0), &s.score(t, 0), wants_lse), s, t); });
}

}  // namespace

void score_by_sigmoid(const Queue& queue, bool wants_lse, const RouterPass& pass, const nn::Linear* product) {
  if constexpr (!on_host)
    if (product && warps::multiplies(product->weight(), pass.x))
      return warps::score(queue, {warps::Family::sigmoid, wants_lse, false}, product->weight(), pass);
  if (product) product->forward(queue, pass.x, pass.scores.logits);
  score_sigmoid(queue, wants_lse, pass.scores);
}

void route_by_sigmoid(const Queue& queue, const RouterShape& shape, bool wants_lse, const Vector<float>& bias,
                      const RouterPass& pass, const nn::Linear* product) {
  const Scores& s = pass.scores;
  if constexpr (!on_host) {
    const warps::Scoring scoring{warps::Family::sigmoid, wants_lse, false};
    if (product && warps::multiplies(product->weight(), pass.x))
      return warps::route(queue, shape, scoring, {product->weight(), bias}, pass);
    if (warps::serve(shape.experts)) {
      if (product) product->forward(queue, pass.x, s.logits);
      return warps::route(queue, shape, scoring, bias, pass);
    }
  }
  if (product) product->forward(queue, pass.x, s.logits);
  score_sigmoid(queue, wants_lse, s);
  select(queue, shape, {s.score, s.score, bias}, pass.choice, pass.margin);
  weigh_sigmoid(queue, shape, s, pass.choice);
}

void sigmoid_gradient(const Queue& queue, const RouterShape& shape, const ScoreGradient& g, const RouterPass& pass) {
  if constexpr (!on_host)
    if (warps::serve(shape.experts)) return warps::gradient(queue, shape, warps::Family::sigmoid, g, pass);
  const Scores& s = pass.scores;
  const Choice& choice = pass.choice;
  const int n = shape.experts;
  Kokkos::parallel_for(
      "switchyard::moe::sigmoid::gradient", queue.range(s.score.extent(0)), KOKKOS_LAMBDA(Index t) {
        float* gradient = &s.logits(t, 0);
        const float* score = &s.score(t, 0);
        z_row_gradient(n, s.lse(t), g.z * s.lse(t), gradient);
        add_sigmoid_row_gradient(n, score, s.inverse(t), &g.coefficients(t / g.unit_tokens, 0), gradient);
        add_sigmoid_weights(shape, chosen_of(choice, g.weight, t), score, gradient);
      });
}

}  // namespace switchyard::moe
