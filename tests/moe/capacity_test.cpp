// Drops by capacity in both orders against a count of who comes before whom.
#include "moe/capacity.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "reference/balance.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"

namespace switchyard::moe {
namespace {

using test::on_device;

/// Choices of tokens: those of token t are [first[t], first[t + 1]).
struct Choices {
  int experts;
  std::vector<std::int32_t> first, expert;
  std::vector<float> weight;
  Index tokens() const { return static_cast<Index>(first.size()) - 1; }
};

/// k different experts for each of n tokens or, ragged, 0 to k; weights from a few values so that there are ties.
Choices made_up(Index tokens, int k, int e, bool ragged) {
  Choices c{e, {0}, {}, {}};
  std::uint32_t state = 12345u + static_cast<std::uint32_t>(tokens * 31 + k * 7 + e);
  for (Index t = 0; t < tokens; ++t) {
    state = state * 1664525u + 1013904223u;
    const int stride = 1 + static_cast<int>(state >> 16) % 2;
    const int start = static_cast<int>((state >> 20) % 7 ? (state >> 8) % static_cast<std::uint32_t>(e) : 0);
    const int n = ragged ? static_cast<int>(state >> 12) % (k + 1) : k;
    for (int j = 0; j < n; ++j) {
      c.expert.push_back((start + j * (e % 2 ? stride : 1)) % e);
      state = state * 1664525u + 1013904223u;
      c.weight.push_back(static_cast<float>(state >> 29) * 0.125f);
    }
    c.first.push_back(static_cast<std::int32_t>(c.expert.size()));
  }
  return c;
}

/// What a drop keeps of the choices of `grains` equal grains; 2 where it does not say.
std::vector<std::uint8_t> kept_of(const Choices& c, std::int64_t rows, DropOrder order, int grains = 1) {
  Config config;
  config.moe.capacity_factor = 1.0, config.moe.drop_order = order, config.moe.top_k = 4;
  nn::Rows cut;
  cut.count = c.tokens();
  for (int g = 0; g <= grains; ++g) cut.grains.push_back(g * c.tokens() / grains);
  const Placed<Drop> drop("test::drop", config, cut, c.experts);
  const Choice choice{on_device(c.first), on_device(c.expert), on_device(c.weight),
                      on_device(std::vector<std::uint8_t>(c.expert.size(), 2))};
  drop->keep_within(test::queue(), rows, choice);
  return host_values(choice.kept);
}

void expect_brute_force(std::int64_t rows, DropOrder order, const Choices& c) {
  const std::vector<std::uint8_t> kept = kept_of(c, rows, order);
  for (std::size_t i = 0; i < kept.size(); ++i)
    EXPECT_EQ(kept[i], reference::is_kept(rows, order, c.first, c.expert, c.weight, i))
        << "choice " << i << " of " << c.tokens() << " tokens, E " << c.experts << " rows " << rows;
}

/// The choices of tokens [first, last) alone.
Choices part_of(const Choices& c, Index first, Index last) {
  Choices part{c.experts, {}, {}, {}};
  for (Index t = first; t <= last; ++t) part.first.push_back(c.first[t] - c.first[first]);
  part.expert.assign(c.expert.begin() + c.first[first], c.expert.begin() + c.first[last]);
  part.weight.assign(c.weight.begin() + c.first[first], c.weight.begin() + c.first[last]);
  return part;
}

TEST(Capacity, RoundsUpAndDoesNotStumbleOverBinaryFractions) {
  EXPECT_EQ(capacity(1.0, 64, 2, 8), 16);
  EXPECT_EQ(capacity(1.25, 64, 1, 7), 12);  // 11.43
  EXPECT_EQ(capacity(1.1, 10, 1, 1), 11);   // 1.1 · 10 is 11.000000000000002 in double
  EXPECT_EQ(capacity(0.7, 10, 1, 1), 7);
  EXPECT_EQ(capacity(0.001, 10, 1, 8), 1);
  EXPECT_EQ(capacity(1.0, 0, 1, 8), 0);
}

// Factors of whole hundredths, so that the definition is one of integers.
TEST(Capacity, IsTheCeilingOfARational) {
  for (const std::int64_t hundredths : {1, 5, 33, 70, 99, 100, 101, 110, 125, 133, 175, 200, 1000})
    for (const std::int64_t tokens : {1, 3, 7, 64, 1000, 4096, 65536, 1 << 20})
      for (const int k : {1, 2, 3, 8, 32})
        for (const int experts : {1, 3, 7, 10, 64, 257, 1024}) {
          const std::int64_t rows = hundredths * tokens * k, whole = std::int64_t{100} * experts;
          ASSERT_EQ(capacity(static_cast<double>(hundredths) / 100.0, tokens, k, experts), (rows + whole - 1) / whole)
              << hundredths << " " << tokens << " " << k << " " << experts;
        }
}

// As large as rules allow: nothing is dropped, as with a factor of which all rows are within.
TEST(Capacity, OfAnyFactorDropsNothingWhereThereIsRoom) {
  const Choices all = made_up(40, 3, 5, false);
  for (const double factor : {1e308, 1e19, 1e15, 5.0 / 3.0})
    for (const DropOrder order : {DropOrder::weight, DropOrder::position})
      EXPECT_EQ(kept_of(all, capacity(factor, 40, 3, 5), order), std::vector<std::uint8_t>(all.expert.size(), 1))
          << factor;
}

TEST(Capacity, BothOrdersByBruteForce) {
  for (const DropOrder order : {DropOrder::weight, DropOrder::position})
    for (const auto& [tokens, k, experts] : {std::array{40, 1, 3}, {40, 2, 5}, {33, 3, 3}, {64, 4, 257}, {7, 1, 1}})
      for (const std::int64_t rows : {0, 1, 2, 5, 20, 1000}) {
        expect_brute_force(rows, order, made_up(tokens, k, experts, false));
        expect_brute_force(rows, order, made_up(tokens, k, experts, true));
      }
}

TEST(Capacity, EveryGrainHasItsOwn) {
  for (const bool ragged : {false, true}) {
    const Choices all = made_up(40, 3, 5, ragged);
    for (const DropOrder order : {DropOrder::weight, DropOrder::position})
      for (const int grains : {1, 2, 4, 8}) {
        std::vector<std::uint8_t> expected;
        for (int g = 0; g < grains; ++g) {
          const Index n = all.tokens() / grains;
          const auto part = kept_of(part_of(all, g * n, (g + 1) * n), 2, order);
          expected.insert(expected.end(), part.begin(), part.end());
        }
        EXPECT_EQ(kept_of(all, 2, order, grains), expected) << grains;
      }
  }
}

TEST(Capacity, KeepsNothingOfNoTokens) { EXPECT_TRUE(kept_of({3, {0}, {}, {}}, 1, DropOrder::weight).empty()); }

TEST(Capacity, FirstChoicesComeBeforeSecondOnes) {
  // Two tokens, E = 2, room for one: token 1's first choice beats token 0's second.
  const Choices choices{2, {0, 2, 4}, {0, 1, 1, 0}, {0.9f, 0.8f, 0.3f, 0.2f}};
  EXPECT_EQ(kept_of(choices, 1, DropOrder::position), (std::vector<std::uint8_t>{1, 0, 1, 0}));
  EXPECT_EQ(kept_of(choices, 1, DropOrder::weight), (std::vector<std::uint8_t>{1, 1, 0, 0}));
}

TEST(Capacity, EqualWeightsKeepTheFirstTokensAndNotANumberHasAPlace) {
  const Choices equal{1, {0, 1, 2, 3, 4}, {0, 0, 0, 0}, {0.5f, 0.5f, 0.5f, 0.5f}};
  EXPECT_EQ(kept_of(equal, 2, DropOrder::weight), (std::vector<std::uint8_t>{1, 1, 0, 0}));
  Choices broken = equal;
  broken.weight = {NAN, 0.5f, NAN, 0.7f};
  const auto kept = kept_of(broken, 2, DropOrder::weight);
  EXPECT_EQ(kept[0] + kept[1] + kept[2] + kept[3], 2);
}

}  // namespace
}  // namespace switchyard::moe
