// Counts and sums of one pass on this rank, per sequence: integers, and sums in double over the tokens of a sequence,
// one chain on the CPU, strips and a tree over them on a GPU.
#pragma once
#include <cstdint>
#include <vector>

#include "moe/routers/scores.hpp"
#include "moe/token_facts.hpp"
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
  Matrix<double> sums;            ///< (S, 4) of what SumOfTokens names
  Vector<float> token_margin;     ///< (N) written by Router::route
  TokenFacts facts;               ///< (N)
  Matrix<std::int32_t> cutoffs;   ///< (E, bins) of all tokens; no bins where no bias rule asks for them
};

/// Columns of Tally::sums: over the tokens of a sequence.
enum SumOfTokens { entropy_sum, squares_sum, variance_sum, weight_sum, sums_of_tokens };

/// Of the margin, and of cutoffs (cutoffs.hpp).
struct TallyBins {
  int margin, cutoff;
};

Tally make_tally(Arena& arena, const nn::Rows& rows, int experts, const TallyBins& bins);

/// What experts were ranked with, device.
struct SelectionBias {
  Vector<float> of;    ///< (E)
  Vector<float> bins;  ///< (2) a CutoffBins
};

/// Replaces all counts, facts and sums by those of the pass.
void count(const Queue& queue, const Choice& choice, const Scores& scores, const SelectionBias& bias,
           const Tally& tally);
/// The part of it by sequences, at least one: tally_host.cpp or tally_cuda.cpp.
void count_sequences(const Queue& queue, const Choice& choice, const Scores& scores, const Tally& tally);

}  // namespace switchyard::moe
