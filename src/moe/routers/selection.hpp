// Which experts a token is sent to: a total order, score descending, then expert id ascending.
#pragma once
#include "moe/routers/scores.hpp"

namespace switchyard::moe {

/// What experts are ranked by: order(N, E) + bias(E), where order is the score, or of the same order as it.
struct RankedBy {
  Matrix<float> order, score;
  Vector<float> bias;
};

/// Writes choice.expert and kept = 1 of all tokens, which have top_k choices each, and margin(N) = lowest chosen minus
/// highest refused score + bias inside the kept groups (0 counts as refused where nothing is left), clamped to [0, 1].
void select(const Queue& queue, const RouterShape& shape, const RankedBy& by, const Choice& choice,
            const Vector<float>& margin);

}  // namespace switchyard::moe
