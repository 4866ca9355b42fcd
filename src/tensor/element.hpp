// The elements of tensors as kernels see them: what is read becomes a float, what is computed is a float, and what is
// written is rounded once.
#pragma once
#include <Kokkos_Core.hpp>
#include <cstdint>

namespace switchyard {

/// bfloat16: the upper half of a float.
struct Bf16 {
  std::uint16_t bits = 0;
};

KOKKOS_INLINE_FUNCTION float load(float x) { return x; }
KOKKOS_INLINE_FUNCTION float load(Bf16 x) { return Kokkos::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

KOKKOS_INLINE_FUNCTION void store(float x, float& to) { to = x; }
/// To the nearest, halves to even; a NaN stays one.
KOKKOS_INLINE_FUNCTION void store(float x, Bf16& to) {
  const auto bits = Kokkos::bit_cast<std::uint32_t>(x);
  const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  const std::uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1u);
  to.bits = static_cast<std::uint16_t>((nan ? bits | 0x00400000u : rounded) >> 16);
}

}  // namespace switchyard
