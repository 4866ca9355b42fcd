// Philox4x32-10 against the known answers of Random123, and the streams made of it.
#include "base/philox.hpp"

#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>
#include <array>
#include <cmath>
#include <set>

namespace switchyard {
namespace {

void expect_block(std::uint64_t key, std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 4> wanted) {
  const Philox r = philox(key, {{counter[0], counter[1], counter[2], counter[3]}});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(r.v[i], wanted[i]) << i;
}

// kat_vectors of Random123 (Salmon et al., SC'11), philox4x32 10 rounds.
TEST(Random, KnownAnswers) {
  expect_block(0, {0, 0, 0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  expect_block(0xffffffffffffffffu, {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
               {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  expect_block(0x299f31d0a4093822u, {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
               {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST(Random, EveryPurposeAndSeedHasAStreamOfItsOwn) {
  std::set<std::uint64_t> keys;
  for (std::uint64_t seed = 0; seed < 100; ++seed)
    for (const auto purpose : {Purpose::init, Purpose::sequence_order, Purpose::router_noise, Purpose::router_hash,
                               Purpose::sampling, Purpose::document_split, Purpose::synthetic})
      keys.insert(stream_key(seed, purpose));
  EXPECT_EQ(keys.size(), 700u);
}

// The state after `purpose` steps of splitmix64, and its output: Vigna's test values of the seed 1234567.
TEST(Random, KeysAreOutputsOfSplitmix64) {
  const std::uint64_t outputs[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                   4593380528125082431u, 16408922859458223821u};
  for (std::uint32_t step = 1; step <= 5; ++step)
    EXPECT_EQ(stream_key(1234567, static_cast<Purpose>(step)), outputs[step - 1]) << step;
}

TEST(Random, UniformIsTheMiddleOfItsTwentyFourthBit) {
  for (const std::uint32_t bits : {0u, 1u, 255u, 256u, 0x7fffffffu, 0x80000000u, 0xfffffdffu})
    EXPECT_EQ(uniform(bits), static_cast<float>(((bits >> 8) + 0.5) / 16777216.0)) << bits;
}

TEST(Random, UniformIsInsideTheOpenInterval) {
  EXPECT_GT(uniform(0u), 0.0f);
  EXPECT_LT(uniform(0xffffffffu), 1.0f);
  double sum = 0.0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) sum += uniform(philox(7, {{static_cast<std::uint32_t>(i), 0, 0, 0}}).v[0]);
  EXPECT_NEAR(sum / n, 0.5, 5.0 / std::sqrt(12.0 * n));
}

void fill(const Kokkos::View<std::uint32_t*, Kokkos::DefaultExecutionSpace::memory_space>& out) {
  Kokkos::parallel_for(
      "philox_test", Kokkos::RangePolicy<Kokkos::DefaultExecutionSpace>(0, out.extent(0)), KOKKOS_LAMBDA(int i) {
        out(i) = philox(42, {{static_cast<std::uint32_t>(i), 1, 2, 3}}).v[i % 4];
      });
}

TEST(Random, SameNumbersInsideAKernel) {
  const Kokkos::View<std::uint32_t*, Kokkos::DefaultExecutionSpace::memory_space> out("out", 1000);
  fill(out);
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), out);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(host(i), philox(42, {{static_cast<std::uint32_t>(i), 1, 2, 3}}).v[i % 4]);
}

}  // namespace
}  // namespace switchyard
