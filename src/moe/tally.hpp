// Counts and sums of one pass on this rank, per sequence: integers, and sums in double over the tokens of a sequence,
// one chain on the CPU, strips and a tree over them on a GPU.
#pragma once
#include <cstdint>
#include <vector>

#include "moe/routers/scores.hpp"
#include "nn/rows.hpp"
#include "tensor/arena.hpp"
#include "tensor/queue.hpp"

namespace switchyard::moe {

/// Device memory; S local sequences of T tokens.
struct Tally {
  Matrix<std::int32_t> assigned;  ///< (S, E) choices before drop
  Matrix<std::int32_t> kept;      ///< (S, E) after drop
  Matrix<std::int32_t> margin;    ///< (S, bins)
  Matrix<double> mass;            ///< (S, E) sum of normalised scores
  Matrix<double> sums;            ///< (S, 2) sums of entropy and of squared log-sum-exp
  Vector<float> token_margin;     ///< (N) written by Router::route
};

Tally make_tally(Arena& arena, const nn::Rows& rows, int experts, int bins);

/// Replaces all counts and sums by those of the pass: tally_host.cpp or tally_cuda.cpp.
void count(const Queue& queue, const Choice& choice, const Scores& scores, const Tally& tally);

}  // namespace switchyard::moe
