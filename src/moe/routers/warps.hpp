// Routing on a GPU, up to 1024 experts: a warp a token holds its row of logits in registers, so that scores, selection
// and weights are one launch. Sums are of an order that follows from the number of experts alone.
#pragma once
#include "moe/routers/router.hpp"
#include "moe/routers/selection.hpp"

namespace switchyard::moe::warps {

constexpr int max_experts = 1024;

/// Whether the kernels of this header serve a layer; the functions below are only there where they do.
constexpr bool serve(Index experts) { return !on_host && experts <= max_experts; }

/// What scores are made of.
enum class Family { sigmoid, softmax };

struct Scoring {
  Family family = Family::softmax;
  bool wants_lse = true;   ///< of a softmax always
  bool by_logits = false;  ///< experts are ranked by logits, else by score + bias
};

/// From scores.logits(N, E) all other scores.
void score(const Queue& queue, const Scoring& scoring, const Scores& scores);

/// The same, and what Router::route writes besides.
void route(const Queue& queue, const RouterShape& shape, const Scoring& scoring, const Vector<float>& bias,
           const RouterPass& pass);

/// Whether the two below serve the product of x(N, d) by a router's matrix (E, d): a matter of elements and widths.
bool multiplies(const Tensor& weight, const Tensor& x);
/// The scores of pass.x by the matrix, logits included.
void score(const Queue& queue, const Scoring& scoring, const Tensor& weight, const RouterPass& pass);
/// The same, and what Router::route writes besides; `bias` is added to what experts are ranked by.
struct Selected {
  Tensor weight;
  Vector<float> bias;
};
void route(const Queue& queue, const RouterShape& shape, const Scoring& scoring, const Selected& selected,
           const RouterPass& pass);

/// moe::select.
void select(const Queue& queue, const RouterShape& shape, const RankedBy& by, const Choice& choice,
            const Vector<float>& margin);

/// Replaces pass.scores.logits(N, E) by the gradient of the logits.
void gradient(const Queue& queue, const RouterShape& shape, Family family, const ScoreGradient& gradient,
              const RouterPass& pass);

}  // namespace switchyard::moe::warps
