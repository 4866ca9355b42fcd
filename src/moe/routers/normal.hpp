// Random bits turned into normal numbers without branches.
#pragma once
#include <cstdint>

#include "tensor/math.hpp"

namespace switchyard::moe {

/// √2·erfinv(2u − 1), the normal quantile of u in (0, 1), by the two polynomials of Giles (2010), single precision.
KOKKOS_INLINE_FUNCTION float normal_quantile(float u) {
  const float w = -fast_log(4.0f * u * (1.0f - u)), near = w - 2.5f, far = Kokkos::sqrt(w) - 3.0f;
  const float a = horner(near, 1.50140941f, 0.246640727f, -0.00417768164f, -0.00125372503f, 0.00021858087f,
                         -4.39150654e-06f, -3.5233877e-06f, 3.43273939e-07f, 2.81022636e-08f);
  const float b = horner(far, 2.83297682f, 1.00167406f, 0.00943887047f, -0.0076224613f, 0.00573950773f, -0.00367342844f,
                         0.00134934322f, 0.000100950558f, -0.000200214257f);
  return 1.41421356f * (w < 5.0f ? a : b) * (2.0f * u - 1.0f);
}

/// In (0, 1), symmetric about a half: 23 bits, so that u and 1 − u are exact.
KOKKOS_INLINE_FUNCTION float open_uniform(std::uint32_t bits) {
  return (static_cast<float>(bits >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

}  // namespace switchyard::moe
