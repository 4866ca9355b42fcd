// bfloat16 against its definition: every value, and the roundings next to it.
#include "tensor/element.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace switchyard {
namespace {

float value_of(std::uint32_t bits) { return load(Bf16{static_cast<std::uint16_t>(bits)}); }

Bf16 rounded(float x) {
  Bf16 to;
  store(x, to);
  return to;
}

TEST(Bf16, EveryValueComesBack) {
  for (std::uint32_t bits = 0; bits < 1u << 16; ++bits) {
    const float x = value_of(bits);
    if (std::isnan(x))
      EXPECT_TRUE(std::isnan(load(rounded(x)))) << bits;
    else
      ASSERT_EQ(rounded(x).bits, bits);
  }
}

TEST(Bf16, RoundsToTheNearestAndHalvesToEven) {
  for (std::uint32_t bits = 0; bits < 0x7F7Fu; ++bits) {  // up to the last but one finite value
    const float low = value_of(bits), high = value_of(bits + 1), half = low + (high - low) / 2;
    for (const float sign : {1.0f, -1.0f}) {
      const float even = bits % 2 ? high : low;
      ASSERT_EQ(load(rounded(sign * half)), sign * even) << bits;
      ASSERT_EQ(load(rounded(sign * std::nextafter(half, 0.0f))), sign * low) << bits;
      ASSERT_EQ(load(rounded(sign * std::nextafter(half, INFINITY))), sign * high) << bits;
    }
  }
}

TEST(Bf16, OverflowsToInfinityAndKeepsNaN) {
  EXPECT_EQ(load(rounded(std::numeric_limits<float>::max())), INFINITY);
  EXPECT_EQ(load(rounded(-INFINITY)), -INFINITY);
  // A NaN whose upper half alone would be infinity.
  EXPECT_TRUE(std::isnan(load(rounded(Kokkos::bit_cast<float>(0x7F800001u)))));
}

}  // namespace
}  // namespace switchyard
