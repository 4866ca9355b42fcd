// Sums and products that do not fit stay too large instead of wrapping.
#include "base/checked.hpp"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

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

TEST(CheckedTest, WhatComesFromItDoesNotFitEither) { EXPECT_FALSE((Checked(largest) * 2 / largest).fits()); }

}  // namespace
}  // namespace switchyard
