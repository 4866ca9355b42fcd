// Philox numbers turned into normal ones without branches.
#include "moe/routers/noise.hpp"

#include "base/philox.hpp"
#include "moe/routers/normal.hpp"
#include "tensor/math.hpp"

namespace switchyard::moe {
namespace {

constexpr int counters = 16;  ///< Philox blocks side by side, so that lanes lie next to each other
constexpr int chunk = 4 * counters;

/// Numbers of experts [first, first + n) of one token, n <= chunk: expert first + i has word i / 16 of counter i % 16.
KOKKOS_INLINE_FUNCTION void random_bits(std::uint64_t key, const NoiseKey& where, std::int64_t token, int first, int n,
                                        std::uint32_t* bits) {
  const auto block = static_cast<std::uint32_t>(where.block) << 16;
  const auto low = static_cast<std::uint32_t>(token), step = static_cast<std::uint32_t>(where.step);
  const auto high = static_cast<std::uint32_t>(token >> 32) ^ static_cast<std::uint32_t>(where.step >> 32) << 16;
  for (int l = 0; l < (n < counters ? n : counters); ++l) {
    const Philox r = philox(key, {{static_cast<std::uint32_t>(first / 4 + l) | block, low, high, step}});
    for (int word = 0; word < 4; ++word) bits[word * counters + l] = r.v[word];
  }
}

/// logit += ε·softplus(noise logit); slope = noise logit becomes ε·σ(noise logit).
KOKKOS_INLINE_FUNCTION void add_row(int n, const std::uint32_t* bits, float* KOKKOS_RESTRICT logit,
                                    float* KOKKOS_RESTRICT slope) {
  for (int i = 0; i < n; ++i) {
    const float normal = normal_quantile(open_uniform(bits[i])), width = slope[i];
    logit[i] = Kokkos::fma(normal, softplus(width), logit[i]);
    slope[i] = normal * sigmoid(width);
  }
}

}  // namespace

void add_noise(const Queue& queue, const NoiseKey& where, const Scores& s) {
  const int n = static_cast<int>(s.logits.extent(1));
  const std::uint64_t key = stream_key(where.seed, Purpose::router_noise);
  Kokkos::parallel_for(
      "switchyard::moe::noise::add", queue.range(s.logits.extent(0)), KOKKOS_LAMBDA(Index t) {
        std::uint32_t bits[chunk];
        for (int first = 0; first < n; first += chunk) {
          const int part = n - first < chunk ? n - first : chunk;
          random_bits(key, where, where.first + t, first, part, bits);
          add_row(part, bits, &s.logits(t, first), &s.slope(t, first));
        }
      });
}

void noise_gradient(const Queue& queue, const Scores& s) {
  const int n = static_cast<int>(s.logits.extent(1));
  Kokkos::parallel_for(
      "switchyard::moe::noise::gradient", queue.range(s.logits.extent(0)), KOKKOS_LAMBDA(Index t) {
        for (int e = 0; e < n; ++e) s.slope(t, e) *= s.logits(t, e);
      });
}

}  // namespace switchyard::moe
