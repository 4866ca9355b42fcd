// Facts of tokens on the CPU.
#include "moe/token_facts.hpp"
#include "tensor/lanes.hpp"

namespace switchyard::moe {
namespace {

KOKKOS_INLINE_FUNCTION bool has(const TokenChoices& chosen, int e) {
  for (int j = 0; j < chosen.count; ++j)
    if (chosen.expert[j] == e) return true;
  return false;
}

KOKKOS_INLINE_FUNCTION float variance_of(int n, const float* score) {
  const float mean = lane_sum(n, [=](int e) { return score[e]; }) / static_cast<float>(n);
  return lane_sum(n, [=](int e) { return (score[e] - mean) * (score[e] - mean); }) / static_cast<float>(n);
}

}  // namespace

void find_token_facts(const Queue& queue, const Choice& choice, const Matrix<float>& score, const Vector<float>& bias,
                      const TokenFacts& facts) {
  const int n = static_cast<int>(score.extent(1));
  Kokkos::parallel_for(
      "switchyard::moe::token_facts", queue.range(choice.tokens()), KOKKOS_LAMBDA(Index t) {
        const TokenChoices chosen = choice.of(t);
        const float *of = &score(t, 0), *b = bias.data();
        float weight = 0.0f;
        for (int j = 0; j < chosen.count; ++j) weight += chosen.weight[j];
        facts.weight(t) = weight;
        facts.variance(t) = variance_of(n, of);
        facts.cutoff(t) = lane_max(n, [&](int e) { return has(chosen, e) ? -INFINITY : of[e] + b[e]; });
      });
}

}  // namespace switchyard::moe
