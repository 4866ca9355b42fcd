// Bins of the margin between the last chosen and the first refused score, by powers of two: most margins are small.
#pragma once
#include <Kokkos_Core.hpp>
#include <cstdint>

namespace switchyard::moe {

/// Of a margin in [0, 1]: the last bin begins at 1/2, each before it at half of that, and the first holds all below.
/// Read off the exponent, so that an edge is exact.
KOKKOS_INLINE_FUNCTION int margin_bin(float margin, int bins) {
  constexpr int mantissa_bits = 23, exponent_of_half = 126;
  const int exponent = static_cast<int>(Kokkos::bit_cast<std::uint32_t>(margin) >> mantissa_bits);
  const int bin = exponent - exponent_of_half + bins - 1;
  return bin < 0 ? 0 : bin < bins ? bin : bins - 1;
}

}  // namespace switchyard::moe
