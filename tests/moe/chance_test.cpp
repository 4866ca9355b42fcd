// What routing takes from random numbers: the noise of noisy top-k, and the experts of a hash.
#include <gtest/gtest.h>

#include <numeric>

#include "base/philox.hpp"
#include "moe/router_rig.hpp"
#include "moe/routers/noise.hpp"
#include "support/queue.hpp"

namespace switchyard {
namespace {

using test::Rig;

Config with(RouterKind router, int experts = 8, int k = 3) {
  Config c = test::small_config(experts, k);
  c.moe.router = router;
  c.moe.scale = 1.7;
  return c;
}

std::vector<std::array<int, 3>> rows_of_three(const std::vector<std::int32_t>& flat) {
  std::vector<std::array<int, 3>> rows;
  for (std::size_t i = 0; i < flat.size(); i += 3) rows.push_back({flat[i], flat[i + 1], flat[i + 2]});
  return rows;
}

TEST(Chance, EvaluationHasNoNoise) {
  Rig noisy(with(RouterKind::noisy_topk), MPI_COMM_SELF);
  Rig plain(with(RouterKind::softmax), MPI_COMM_SELF);
  const auto quiet = host_values(noisy.forward(moe::Pass::evaluate).weight);
  EXPECT_EQ(quiet, host_values(plain.forward(moe::Pass::evaluate).weight));
  EXPECT_NE(quiet, host_values(noisy.forward(moe::Pass::train).weight));
}

TEST(Chance, NoiseIsStandardNormalAndItsOwnForEachStep) {
  constexpr int tokens = 500, experts = 257;
  const auto draw = [](std::int64_t step) {
    moe::Scores s;
    s.logits = Matrix<float>("logits", tokens, experts), s.slope = Matrix<float>("slope", tokens, experts);
    moe::add_noise(test::queue(), {1, step, 2, 1000}, s);
    return host_values(s.logits);
  };
  const auto values = draw(4), other = draw(5);
  double moment[5] = {}, product = 0.0, below = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double v = values[i] / std::log(2.0);
    for (int m = 1; m < 5; ++m) moment[m] += std::pow(v, m) / static_cast<double>(values.size());
    product += v * other[i] / std::log(2.0) / static_cast<double>(values.size());
    below += (v < -1.0) / static_cast<double>(values.size());
  }
  EXPECT_NEAR(moment[1], 0.0, 0.012);  // four standard errors of 128,500 numbers
  EXPECT_NEAR(moment[2], 1.0, 0.016);
  EXPECT_NEAR(moment[3], 0.0, 0.045);
  EXPECT_NEAR(moment[4], 3.0, 0.11);
  EXPECT_NEAR(below, 0.158655, 0.0041);
  EXPECT_NEAR(product, 0.0, 0.012);
}

// Φ of each of them is half an odd number over 2^23, of which it is made: in the tails, where a step of that is wide,
// an error of a part in a million would be seen. Oracle: std::erfc.
TEST(Chance, NoiseIsTheNormalQuantileOutToItsTails) {
  constexpr int tokens = 4000, experts = 64;
  moe::Scores s;
  s.logits = Matrix<float>("logits", tokens, experts), s.slope = Matrix<float>("slope", tokens, experts);
  moe::add_noise(test::queue(), {3, 1, 0, 0}, s);
  int tail = 0;
  double largest = 0.0;
  for (const float value : host_values(s.logits)) {
    const double z = value / std::log(2.0), p = 0.5 * std::erfc(std::abs(z) / std::sqrt(2.0)) * 8388608.0 - 0.5;
    largest = std::max(largest, std::abs(z));
    if (std::abs(z) < 2.5) continue;
    ++tail;
    EXPECT_NEAR(p, std::round(p), 0.12) << z;
  }
  EXPECT_NEAR(tail, 0.0124193 * tokens * experts, 4 * std::sqrt(0.0124193 * tokens * experts));
  EXPECT_GT(largest, 4.0);
}

TEST(Chance, HashSendsAnIdAlwaysToTheSameExperts) {
  Config c = with(RouterKind::hash, 5, 3);
  Rig rig(c, MPI_COMM_SELF);
  const moe::Choice& choice = rig.forward();
  const auto expert = rows_of_three(host_values(choice.expert));
  const auto ids = host_values(rig.tokens(moe::Pass::train).ids);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    EXPECT_NE(expert[t][0], expert[t][1]);
    EXPECT_NE(expert[t][0], expert[t][2]);
    EXPECT_NE(expert[t][1], expert[t][2]);
    for (std::size_t o = 0; o < t; ++o) EXPECT_TRUE(ids[o] != ids[t] || expert[o] == expert[t]);
  }
  for (const float w : host_values(choice.weight)) EXPECT_FLOAT_EQ(w, 1.7f / 3.0f);
  rig.reduce();
  EXPECT_NEAR(rig.statistics.entropy, std::log(3.0), 1e-6);
  for (const float v : host_values(rig.backward())) EXPECT_EQ(v, 0.0f);
}

/// The experts (ids, k) that a hash gives to the first ids, in block 1.
std::vector<std::int32_t> hashed(int experts, int k, int ids, std::uint64_t seed) {
  Config c = with(RouterKind::hash, experts, k);
  c.train.seed = seed;
  const Rig rig(c, MPI_COMM_SELF);
  moe::TokenSet tokens;
  tokens.ids = Vector<std::int32_t>("id", ids);
  const auto id = Kokkos::create_mirror_view(tokens.ids);
  for (int i = 0; i < ids; ++i) id(i) = i;
  Kokkos::deep_copy(tokens.ids, id);
  struct Memory {
    Memory(Arena& arena, int among, Index n, int each)
        : pass{{},
               nullptr,
               moe::make_scores(arena, among, n, 0),
               moe::make_choice(arena, n, each),
               arena.vector<float>(n)} {}
    moe::RouterPass pass;
  };
  const Placed<Memory> memory("test::pass", experts, Index{ids}, k);
  const moe::RouterPass& pass = memory->pass;
  moe::make_router({rig.config, rig.parameters, 1})->route(test::queue(), tokens, {}, pass);
  return host_values(pass.choice.expert);
}

// Draws without replacement, as from a list: number r of those that are left, r the high half of 32 bits times their
// number; four to a counter of Philox(seed, router_hash), which is (id, block, counter).
TEST(Chance, HashDrawsFromTheExpertsThatAreLeft) {
  for (const auto& [experts, k] : {std::array{1, 1}, {5, 5}, {8, 3}, {32, 32}, {257, 9}})
    for (const std::uint64_t seed : {1, 12345}) {
      const auto got = hashed(experts, k, 200, seed);
      for (std::uint32_t id = 0; id < 200; ++id) {
        std::vector<int> left(experts);
        std::iota(left.begin(), left.end(), 0);
        for (int j = 0; j < k; ++j) {
          const Philox bits =
              philox(stream_key(seed, Purpose::router_hash), {{id, 1, static_cast<std::uint32_t>(j / 4), 0}});
          const auto r = static_cast<std::ptrdiff_t>(std::uint64_t{bits.v[j % 4]} * left.size() >> 32);
          ASSERT_EQ(got[id * k + j], left[r]) << "id " << id << " choice " << j << " of " << k << ", E " << experts;
          left.erase(left.begin() + r);
        }
      }
    }
}

TEST(Chance, HashIsUniform) {
  constexpr int experts = 7, k = 3, ids = 20000;
  const auto expert = hashed(experts, k, ids, 9);
  for (int j = 0; j < k; ++j) {
    std::vector<int> count(experts, 0);
    for (int i = 0; i < ids; ++i) ++count[expert[i * k + j]];
    for (int e = 0; e < experts; ++e) EXPECT_NEAR(count[e], ids / experts, 4 * std::sqrt(ids / experts));
  }
}

}  // namespace
}  // namespace switchyard
