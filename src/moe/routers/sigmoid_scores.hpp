// Scores that are a sigmoid for every expert alone; combine weights divided by the selected sum, or raw.
#pragma once
#include "moe/routers/router.hpp"

namespace switchyard::moe {

/// From the logits, which `product` makes of pass.x, all other scores; null: they are there. The log-sum-exp only where
/// it is wanted.
void score_by_sigmoid(const Queue& queue, bool wants_lse, const RouterPass& pass, const nn::Linear* product);

/// From these logits all else that a router writes: experts ranked by score + bias(E), weights by
/// shape.normalise, `after` or `none`.
void route_by_sigmoid(const Queue& queue, const RouterShape& shape, bool wants_lse, const Vector<float>& bias,
                      const RouterPass& pass, const nn::Linear* product);

/// Replaces pass.scores.logits by the gradient of the logits.
void sigmoid_gradient(const Queue& queue, const RouterShape& shape, const ScoreGradient& gradient,
                      const RouterPass& pass);

}  // namespace switchyard::moe
