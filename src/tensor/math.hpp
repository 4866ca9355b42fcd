// exp, log and what is made of them, without branches and without libm: loops over them vectorise, and a vector lane
// gives the bits of the scalar tail. Activations stand in activation.hpp.
#pragma once
#include <Kokkos_Core.hpp>
#include <cmath>
#include <cstdint>

namespace switchyard {

/// Polynomial c[0] + c[1]·x + … by Horner's rule, highest coefficient last in the list.
KOKKOS_INLINE_FUNCTION constexpr float horner(float /*x*/, float c) { return c; }
template <class... C>
KOKKOS_INLINE_FUNCTION float horner(float x, float c, C... rest) {
  return Kokkos::fma(horner(x, rest...), x, c);
}

/// exp(x), at most 1.1 ulp, subnormal results included; exp(−∞) = 0, above 88.73 +∞, NaN stays.
/// Argument reduced by n·ln2 in two parts (Cody & Waite 1980), minimax polynomial on ±0.35, scaled by 2ⁿ in two
/// factors.
KOKKOS_INLINE_FUNCTION float fast_exp(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float shift = 12582912.0f;  // 1.5·2²³: rounds to an integer that stands in the low bits
  const float shifted = Kokkos::fma(x, 1.44269504f, shift);
  const float n = shifted - shift;
  const float r = Kokkos::fma(n, -1.42860677e-6f, Kokkos::fma(n, -0.693145752f, x));
  const float p = Kokkos::fma(horner(r, 0.5f, 0.16666513681411743f, 0.0416661873459816f, 0.008369590155780315f,
                                     0.0013951703440397978f),
                              r * r, r) +
                  1.0f;
  const auto i = static_cast<std::int32_t>(Kokkos::bit_cast<std::uint32_t>(shifted) - 0x4B400000u);
  const std::int32_t half = i >> 1;
  const float low = Kokkos::bit_cast<float>((half + 127) << 23), high = Kokkos::bit_cast<float>((i - half + 127) << 23);
  return p * low * high;
}

/// Natural logarithm, at most 1.5 ulp; log(0) = −∞, below 0 NaN, log(+∞) = +∞, NaN stays; subnormal arguments are
/// exact.
KOKKOS_INLINE_FUNCTION float fast_log(float x) {
  const bool subnormal = x < 1.17549435e-38f;
  const std::uint32_t bits = Kokkos::bit_cast<std::uint32_t>(subnormal ? x * 8388608.0f : x) - 0x3F3504F3u;
  const auto exponent = static_cast<std::int32_t>(bits) >> 23;  // mantissa in [√½, √2)
  const float e = static_cast<float>(subnormal ? exponent - 23 : exponent);
  const float f = Kokkos::bit_cast<float>((bits & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f, square = f * f;
  const float p = horner(f, 0.3333331048488617f, -0.24999986588954926f, 0.20002219080924988f, -0.16669245064258575f,
                         0.14218780398368835f, -0.1238449439406395f, 0.11872309446334839f, -0.11788799613714218f,
                         0.06915578246116638f);
  const float tail = Kokkos::fma(e, 1.42860677e-6f, Kokkos::fma(-0.5f, square, square * f * p));
  float y = Kokkos::fma(e, 0.693145752f, f + tail);
  y = x == 0.0f ? -INFINITY : y;
  y = x < 0.0f ? NAN : y;
  return x < INFINITY ? y : x;  // +∞ and NaN
}

/// log(1 + x) for x ≥ 0, at most 2 ulp.
KOKKOS_INLINE_FUNCTION float fast_log1p(float x) {
  const float u = 1.0f + x, lost = x - (u - 1.0f);
  return u < INFINITY ? fast_log(u) + lost / u : u;
}

/// |x|, by its bits.
KOKKOS_INLINE_FUNCTION float magnitude(float x) {
  return Kokkos::bit_cast<float>(Kokkos::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFu);
}

/// 1 / (1 + exp(−x)), at most 3 ulp.
KOKKOS_INLINE_FUNCTION float sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

/// log(1 + exp(x)), at most 3 ulp.
KOKKOS_INLINE_FUNCTION float softplus(float x) { return (x > 0.0f ? x : 0.0f) + fast_log1p(fast_exp(-magnitude(x))); }

}  // namespace switchyard
