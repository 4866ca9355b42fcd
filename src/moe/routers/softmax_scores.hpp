// Scores that are a softmax over all logits: what softmax and noisy_topk have in common.
#pragma once
#include "moe/routers/router.hpp"

namespace switchyard::moe {

/// From the logits all other scores: the softmax. `product` makes the logits of pass.x before; null: they are there.
void score_by_softmax(const Queue& queue, const RouterPass& pass, const nn::Linear* product = nullptr);

/// From pass.scores.logits, which `product` makes or which are there, all else that a router writes: score = softmax,
/// experts ranked by the logits, or by score + bias(E) where a bias rule or group limit wants scores; weights by
/// shape.normalise, `before` or `after`.
void route_by_softmax(const Queue& queue, const RouterShape& shape, const Vector<float>& bias, const RouterPass& pass,
                      const nn::Linear* product = nullptr);

/// Replaces pass.scores.logits by the gradient of the logits.
void softmax_gradient(const Queue& queue, const RouterShape& shape, const ScoreGradient& gradient,
                      const RouterPass& pass);

}  // namespace switchyard::moe
