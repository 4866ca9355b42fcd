// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). A number depends on its key and counter alone, so
// it is the same on any layout. Free of Kokkos, so that code without it draws from the same streams.
#pragma once
#include <cstdint>

#if defined(__CUDACC__) || defined(__HIPCC__)
#define SWITCHYARD_FUNCTION __host__ __device__ inline
#else
#define SWITCHYARD_FUNCTION inline
#endif

namespace switchyard {

/// What a stream is for; part of the key, so that streams never overlap.
enum class Purpose : std::uint32_t {
  init = 1,
  sequence_order,
  router_noise,
  router_hash,
  sampling,
  document_split,
  synthetic,
  tokenizer_sample,
  laboratory,
  delay,
  router_prior
};

struct Philox {
  std::uint32_t v[4];
};

/// One Philox4x32-10 block.
SWITCHYARD_FUNCTION Philox philox(std::uint64_t key, Philox c) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c.v[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c.v[2];
    c = {{static_cast<std::uint32_t>(p1 >> 32) ^ c.v[1] ^ k0, static_cast<std::uint32_t>(p1),
          static_cast<std::uint32_t>(p0 >> 32) ^ c.v[3] ^ k1, static_cast<std::uint32_t>(p0)}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// Key of a stream: seed and purpose mixed (splitmix64).
SWITCHYARD_FUNCTION std::uint64_t stream_key(std::uint64_t seed, Purpose purpose) {
  std::uint64_t z = seed + 0x9E3779B97F4A7C15ull * static_cast<std::uint64_t>(purpose);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

/// In (0, 1), 24 bits.
SWITCHYARD_FUNCTION float uniform(std::uint32_t bits) {
  const float u = (static_cast<float>(bits >> 8) + 0.5f) * (1.0f / 16777216.0f);
  return u < 1.0f ? u : 0.99999994f;  // the last value would round up to 1
}

}  // namespace switchyard
