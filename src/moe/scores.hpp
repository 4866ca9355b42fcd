// Logits to scores, and gradients of scores back to logits.
#pragma once
#include <cstdint>

#include "config/config.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe {

struct Choice;

/// The options of a router that its kernels read.
struct RouterShape {
  RouterKind router = RouterKind::softmax;
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

/// Of N tokens and E experts, device. p = score · inverse are the normalised scores: softmax over all logits, or
/// s / (Σs + 1e-20) of sigmoids.
struct Scores {
  Matrix<float> logits;   ///< (N, E) noise included; their gradient after score_gradient
  Matrix<float> score;    ///< (N, E) probability of the softmax over all, or sigmoid
  Matrix<float> slope;    ///< (N, E) noisy_topk only: d logit / d noise logit
  Vector<float> inverse;  ///< (N)
  Vector<float> lse;      ///< (N) log-sum-exp of the logits; 0 where no loss wants it
  Vector<float> entropy;  ///< (N) of p, nat
};

Scores make_scores(const RouterShape& shape, Index tokens);

/// Which tokens a rank has: token i is number `first` + i of the step's batch.
struct NoiseKey {
  std::uint64_t seed;
  std::int64_t step;
  int block;
  std::int64_t first;
};

/// logits += ε·softplus(noise logits), slope = ε·σ(noise logits), from slope = noise logits; ε ~ N(0, 1) is a pure
/// function of key, token and expert (Shazeer et al. 2017, eq. 4).
void add_noise(const NoiseKey& key, const Scores& scores);

/// score, inverse, lse and entropy from logits; `wants_lse` asks for lse also where entropy does not need it.
void score_tokens(const RouterShape& shape, bool wants_lse, const Scores& scores);

/// What flows back into scores: through the combine weights, through p (`coefficients`), and through the log-sum-exp.
struct ScoreGradient {
  Matrix<float> weight;        ///< (N, k) of the combine weights; ignored where dropped
  Matrix<float> coefficients;  ///< (units, E) dL/dp of each token of a unit
  Index unit_tokens;           ///< tokens of one unit
  float z;                     ///< 2·coefficient / tokens of the batch
};

/// Replaces scores.logits by the gradient of the logits.
void score_gradient(const RouterShape& shape, const ScoreGradient& gradient, const Choice& choice,
                    const Scores& scores);

/// slope(N, E) becomes the gradient of the noise logits, given logits = their gradient.
void noise_gradient(const Scores& scores);

}  // namespace switchyard::moe
