// How far each token's scores lie from what was enough to be chosen, counted: what bias_rule quantile is made of. A
// token's cutoff is its largest score + bias that was refused; expert e would have been chosen with a bias above
// cutoff − score_e. Counts are integers: the same on every layout.
#pragma once
#include <cstdint>
#include <vector>

#include "config/config.hpp"
#include "moe/routers/scores.hpp"
#include "tensor/queue.hpp"

namespace switchyard::moe {

constexpr int max_cutoff_bins = 1024;  ///< eight experts' histograms are in the shared memory of a GPU

/// Equal bins over [first, first + bins / per_unit], as floats, so that host and device agree on them.
struct CutoffBins {
  float first = 0.0f, per_unit = 0.0f;
};

/// Over [min b − range, max b + range] of the biases (E).
CutoffBins cutoff_bins(const std::vector<float>& bias, const MoeConfig& moe);

/// The bias of each expert with which it would have been chosen `chosen` times, a real number above 0: of counts(E,
/// bins), linear inside a bin.
std::vector<double> cutoff_quantiles(const std::vector<std::int64_t>& counts, const CutoffBins& bins,
                                     std::size_t experts, double chosen);

/// counts(E, bins) = how many of the tokens have cutoff(N) − score(N, E) in a bin; what is beyond the ends is in the
/// outermost ones. `bins` is a CutoffBins in device memory. In cutoffs_host.cpp or cutoffs_cuda.cpp.
void count_cutoffs(const Queue& queue, const Matrix<float>& score, const Vector<float>& cutoff,
                   const Vector<float>& bins, const Matrix<std::int32_t>& counts);

}  // namespace switchyard::moe
