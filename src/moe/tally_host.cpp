// The counts and sums of a pass on the CPU.
#include "moe/margin_bin.hpp"
#include "moe/tally.hpp"

namespace switchyard::moe {
namespace {

// Experts of one iteration of the mass, side by side in vectors. Each is a chain of its own.
constexpr int tile = 64;

/// Integers only: atomics on them give the same counts in any order.
void count_choices(const Queue& queue, const Choice& choice, const Tally& tally, Index context) {
  Kokkos::parallel_for(
      "switchyard::moe::tally::choices", queue.range(choice.tokens()), KOKKOS_LAMBDA(Index t) {
        const TokenChoices chosen = choice.of(t);
        for (int j = 0; j < chosen.count; ++j) {
          const std::int32_t e = chosen.expert[j];
          Kokkos::atomic_inc(&tally.assigned(t / context, e));
          if (chosen.kept[j]) Kokkos::atomic_inc(&tally.kept(t / context, e));
        }
      });
}

void count_margins(const Queue& queue, const Tally& tally, Index context) {
  const int bins = static_cast<int>(tally.margin.extent(1));
  Kokkos::parallel_for(
      "switchyard::moe::tally::margins", queue.range(tally.token_margin.extent(0)), KOKKOS_LAMBDA(Index t) {
        Kokkos::atomic_inc(&tally.margin(t / context, margin_bin(tally.token_margin(t), bins)));
      });
}

/// Chains over the tokens of one sequence for the experts [first, first + n).
KOKKOS_INLINE_FUNCTION void sum_mass(const float* score, const float* inverse, Index tokens, Index stride, int n,
                                     double* out) {
  double sum[tile];
  for (int e = 0; e < n; ++e) sum[e] = 0.0;
  for (Index t = 0; t < tokens; ++t)
    for (int e = 0; e < n; ++e) sum[e] += static_cast<double>(score[t * stride + e] * inverse[t]);
  for (int e = 0; e < n; ++e) out[e] = sum[e];
}

void sum_masses(const Queue& queue, const Scores& scores, const Tally& tally, Index context) {
  const Index experts = tally.mass.extent(1), tiles = (experts + tile - 1) / tile;
  Kokkos::parallel_for(
      "switchyard::moe::tally::mass", queue.range(tally.mass.extent(0) * tiles), KOKKOS_LAMBDA(Index i) {
        const Index sequence = i / tiles, first = i % tiles * tile;
        const int n = static_cast<int>(experts - first < tile ? experts - first : tile);
        sum_mass(&scores.score(sequence * context, first), &scores.inverse(sequence * context), context, experts, n,
                 &tally.mass(sequence, first));
      });
}

void sum_tokens(const Queue& queue, const Scores& scores, const Tally& tally, Index context) {
  Kokkos::parallel_for(
      "switchyard::moe::tally::sums", queue.range(tally.sums.extent(0)), KOKKOS_LAMBDA(Index sequence) {
        double sum[sums_of_tokens] = {};
        for (Index t = sequence * context; t < (sequence + 1) * context; ++t) {
          const double lse = scores.lse(t);
          sum[entropy_sum] += static_cast<double>(scores.entropy(t));
          sum[squares_sum] += lse * lse;
          sum[variance_sum] += static_cast<double>(tally.facts.variance(t));
          sum[weight_sum] += static_cast<double>(tally.facts.weight(t));
        }
        for (int i = 0; i < sums_of_tokens; ++i) tally.sums(sequence, i) = sum[i];
      });
}

}  // namespace

void count_sequences(const Queue& queue, const Choice& choice, const Scores& scores, const Tally& tally) {
  const Index sequences = tally.assigned.extent(0), tokens = choice.tokens();
  for (const auto& counts : {tally.assigned, tally.kept, tally.margin}) fill(queue, counts, 0);
  count_choices(queue, choice, tally, tokens / sequences);
  count_margins(queue, tally, tokens / sequences);
  sum_masses(queue, scores, tally, tokens / sequences);
  sum_tokens(queue, scores, tally, tokens / sequences);
}

}  // namespace switchyard::moe
