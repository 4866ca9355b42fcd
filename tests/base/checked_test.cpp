// Sums and products that do not fit stay too large instead of wrapping.
#include "base/checked.hpp"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace switchyard {
namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max(),
                       least = std::numeric_limits<std::int64_t>::min();

TEST(CheckedTest, OrdinaryNumbersAreComputedAsEver) {
  EXPECT_EQ((Checked(3) * 4 + 5 - 7) / 2, Checked(5));
  EXPECT_TRUE((Checked(largest) + 0).fits());
  EXPECT_EQ(to_string(Checked(-12)), "-12");
}

TEST(CheckedTest, WhatDoesNotFitIsAtItsEndAndSaysSo) {
  const Checked rows = Checked(1 << 30) * (1 << 30) * 16;  // wraps to 0 in 64 bits
  EXPECT_FALSE(rows.fits());
  EXPECT_GT(rows, Checked(std::int64_t{1} << 31));
  EXPECT_EQ(to_string(rows), "more than " + std::to_string(largest));
  EXPECT_EQ((Checked(largest) + 1).value(), largest);
  EXPECT_EQ((Checked(-largest) - 2).value(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ((Checked(largest) * -2).value(), std::numeric_limits<std::int64_t>::min());
}

__extension__ using Wide = __int128;

/// The least or greatest number of 64 bits nearest to `exact`.
std::int64_t nearest(Wide exact) {
  return exact > largest ? largest : exact < least ? least : static_cast<std::int64_t>(exact);
}

// Against 128 bits, which hold every sum and product of two numbers of 64.
TEST(CheckedTest, EveryPairIsAsIn128Bits) {
  std::vector<std::int64_t> numbers{0};
  for (const std::int64_t edge :
       {std::int64_t{1}, std::int64_t{3037000499}, std::int64_t{1} << 32, largest / 2, largest})
    for (const std::int64_t n : {edge - 1, edge, edge < largest ? edge + 1 : edge})
      numbers.insert(numbers.end(), {n, -n});
  numbers.push_back(least);
  for (const std::int64_t a : numbers)
    for (const std::int64_t b : numbers) {
      const Wide wide_a = a, wide_b = b;
      for (const auto& [name, found, exact] :
           {std::tuple("+", Checked(a) + b, wide_a + wide_b), std::tuple("-", Checked(a) - b, wide_a - wide_b),
            std::tuple("*", Checked(a) * b, wide_a * wide_b)}) {
        EXPECT_EQ(found.value(), nearest(exact)) << a << name << b;
        EXPECT_EQ(found.fits(), found.value() == exact) << a << name << b;
      }
      EXPECT_EQ(Checked(a) < Checked(b), a < b);
      if (b > 0) {
        EXPECT_EQ((Checked(a) / b).value(), a / b);
      }
    }
}

TEST(CheckedTest, WhatComesFromItDoesNotFitEither) {
  Checked small = Checked(largest) * 2 / largest;
  EXPECT_EQ(small, Checked(1));
  for (const Checked& from : {small, small + 1, 1 - small, small * 0, small / 9}) EXPECT_FALSE(from.fits());
  EXPECT_EQ(to_string(small - 7), "less than -6");
}

}  // namespace
}  // namespace switchyard
