// The noise of noisy top-k gating.
#pragma once
#include <cstdint>

#include "moe/routers/scores.hpp"

namespace switchyard::moe {

/// Which tokens a rank has: token i is number `first` + i of the step's batch.
struct NoiseKey {
  std::uint64_t seed;
  std::int64_t step;
  int block;
  std::int64_t first;
};

/// logits += ε·softplus(noise logits), slope = ε·σ(noise logits), from slope = noise logits; ε ~ N(0, 1) is a pure
/// function of key, token and expert (Shazeer et al. 2017, eq. 4).
void add_noise(const Queue& queue, const NoiseKey& key, const Scores& scores);

/// slope(N, E) becomes the gradient of the noise logits, given logits = their gradient.
void noise_gradient(const Queue& queue, const Scores& scores);

}  // namespace switchyard::moe
