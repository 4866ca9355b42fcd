// Drops by capacity in both orders against a count of who comes before whom.
#include "moe/capacity.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "reference/balance.hpp"

namespace switchyard::moe {
namespace {

/// Choices of n tokens, k different experts each or, ragged, 0 to k; weights from a few values so that there are ties.
struct Case {
  Case(std::int64_t tokens, int k, int e, bool ragged) : choices{tokens, e, nullptr, nullptr, nullptr} {
    std::uint32_t state = 12345u + static_cast<std::uint32_t>(tokens * 31 + k * 7 + e);
    for (std::int64_t t = 0; t < tokens; ++t) {
      state = state * 1664525u + 1013904223u;
      const int stride = 1 + static_cast<int>(state >> 16) % 2;
      const int start = static_cast<int>((state >> 20) % 7 ? (state >> 8) % static_cast<std::uint32_t>(e) : 0);
      const int n = ragged ? static_cast<int>(state >> 12) % (k + 1) : k;
      for (int j = 0; j < n; ++j) {
        expert.push_back((start + j * (e % 2 ? stride : 1)) % e);
        state = state * 1664525u + 1013904223u;
        weight.push_back(static_cast<float>(state >> 29) * 0.125f);
      }
      first.push_back(static_cast<std::int32_t>(expert.size()));
    }
    choices.first = first.data(), choices.expert = expert.data(), choices.weight = weight.data();
  }
  GrainChoices choices;
  std::vector<std::int32_t> first{0}, expert;
  std::vector<float> weight;
};

void expect_brute_force(std::int64_t rows, DropOrder order, const Case& c) {
  std::vector<std::uint8_t> kept(c.expert.size(), 2);
  keep_within(rows, order, c.choices, kept.data());
  for (std::size_t i = 0; i < kept.size(); ++i)
    EXPECT_EQ(kept[i], reference::is_kept(rows, order, c.first, c.expert, c.weight, i))
        << "choice " << i << " of " << c.choices.tokens << " tokens, E " << c.choices.experts << " rows " << rows;
}

TEST(Capacity, RoundsUpAndDoesNotStumbleOverBinaryFractions) {
  EXPECT_EQ(capacity(1.0, 64, 2, 8), 16);
  EXPECT_EQ(capacity(1.25, 64, 1, 7), 12);  // 11.43
  EXPECT_EQ(capacity(1.1, 10, 1, 1), 11);   // 1.1 · 10 is 11.000000000000002 in double
  EXPECT_EQ(capacity(0.7, 10, 1, 1), 7);
  EXPECT_EQ(capacity(0.001, 10, 1, 8), 1);
  EXPECT_EQ(capacity(1.0, 0, 1, 8), 0);
}

TEST(Capacity, BothOrdersByBruteForce) {
  for (const DropOrder order : {DropOrder::weight, DropOrder::position})
    for (const auto& [tokens, k, experts] : {std::array{40, 1, 3}, {40, 2, 5}, {33, 3, 3}, {64, 4, 257}, {7, 1, 1}})
      for (const std::int64_t rows : {0, 1, 2, 5, 20, 1000}) {
        expect_brute_force(rows, order, {tokens, k, experts, false});
        expect_brute_force(rows, order, {tokens, k, experts, true});
      }
}

TEST(Capacity, LeavesTheChoicesOfOtherGrainsAlone) {
  const Case all(40, 3, 5, true);
  for (const DropOrder order : {DropOrder::weight, DropOrder::position}) {
    std::vector<std::uint8_t> kept(all.expert.size(), 2);
    keep_within(1, order, {10, 5, &all.first[20], all.expert.data(), all.weight.data()}, kept.data());
    for (std::int32_t i = 0; i < all.first.back(); ++i)
      EXPECT_EQ(kept[i] == 2, i < all.first[20] || i >= all.first[30]) << i;
  }
}

TEST(Capacity, FirstChoicesComeBeforeSecondOnes) {
  // Two tokens, E = 2, room for one: token 1's first choice beats token 0's second.
  const std::int32_t expert[] = {0, 1, 1, 0};
  const float weight[] = {0.9f, 0.8f, 0.3f, 0.2f};
  const std::int32_t first[] = {0, 2, 4};
  const GrainChoices choices{2, 2, first, expert, weight};
  std::vector<std::uint8_t> kept(4);
  keep_within(1, DropOrder::position, choices, kept.data());
  EXPECT_EQ(kept, (std::vector<std::uint8_t>{1, 0, 1, 0}));
  keep_within(1, DropOrder::weight, choices, kept.data());
  EXPECT_EQ(kept, (std::vector<std::uint8_t>{1, 1, 0, 0}));
}

TEST(Capacity, EqualWeightsKeepTheFirstTokensAndNotANumberHasAPlace) {
  const std::int32_t expert[] = {0, 0, 0, 0}, first[] = {0, 1, 2, 3, 4};
  const float equal[] = {0.5f, 0.5f, 0.5f, 0.5f}, broken[] = {NAN, 0.5f, NAN, 0.7f};
  std::vector<std::uint8_t> kept(4);
  keep_within(2, DropOrder::weight, {4, 1, first, expert, equal}, kept.data());
  EXPECT_EQ(kept, (std::vector<std::uint8_t>{1, 1, 0, 0}));
  keep_within(2, DropOrder::weight, {4, 1, first, expert, broken}, kept.data());
  EXPECT_EQ(kept[0] + kept[1] + kept[2] + kept[3], 2);
}

}  // namespace
}  // namespace switchyard::moe
