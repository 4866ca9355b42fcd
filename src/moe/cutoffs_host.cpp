// Cutoffs counted on the CPU.
#include "moe/cutoffs.hpp"

namespace switchyard::moe {
namespace {

constexpr int tile = 16;  ///< experts of one iteration: a cache line of scores, and bins that stay in a cache

struct Counted {
  Matrix<float> score;
  Vector<float> cutoff, bins;
  Matrix<std::int32_t> counts;
};

/// Of the experts [first, last).
KOKKOS_INLINE_FUNCTION void count_tile(const Counted& a, int first, int last) {
  const int length = static_cast<int>(a.counts.extent(1));
  const float begin = a.bins(0), per_unit = a.bins(1);
  for (Index t = 0; t < static_cast<Index>(a.cutoff.extent(0)); ++t)
    for (int e = first; e < last; ++e) {
      const float at = (a.cutoff(t) - a.score(t, e) - begin) * per_unit;
      const int bin = at >= 0.0f ? (at < static_cast<float>(length) ? static_cast<int>(at) : length - 1) : 0;
      ++a.counts(e, bin);
    }
}

}  // namespace

void count_cutoffs(const Queue& queue, const Matrix<float>& score, const Vector<float>& cutoff,
                   const Vector<float>& bins, const Matrix<std::int32_t>& counts) {
  fill(queue, counts, 0);
  const int experts = static_cast<int>(counts.extent(0));
  const Counted a{score, cutoff, bins, counts};
  Kokkos::parallel_for(
      "switchyard::moe::cutoffs::count", queue.range((experts + tile - 1) / tile), KOKKOS_LAMBDA(Index i) {
        const int first = static_cast<int>(i) * tile, past = first + tile;
        count_tile(a, first, past < experts ? past : experts);
      });
}

}  // namespace switchyard::moe
