// exp, log, tanh, erf and the activations made of them, without branches and without libm: loops over them vectorise,
// and a vector lane gives the bits of the scalar tail.
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

/// Sign of y on the magnitude of x.
KOKKOS_INLINE_FUNCTION float copy_sign(float x, float y) {
  return Kokkos::bit_cast<float>((Kokkos::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFu) |
                                 (Kokkos::bit_cast<std::uint32_t>(y) & 0x80000000u));
}

KOKKOS_INLINE_FUNCTION float magnitude(float x) {
  return Kokkos::bit_cast<float>(Kokkos::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFu);
}

/// tanh(x), at most 2 ulp; ±1 at ±∞, NaN stays.
KOKKOS_INLINE_FUNCTION float fast_tanh(float x) {
  const float a = magnitude(x), s = x * x;
  const float small = Kokkos::fma(horner(s, -0.3333328366279602f, 0.13331469893455505f, -0.053741637617349625f,
                                         0.02064417488873005f, -0.005709534510970116f),
                                  s * x, x);
  const float large = 1.0f - 2.0f / (fast_exp(2.0f * a) + 1.0f);
  return copy_sign(a < 0.626f ? small : large, x);
}

/// erf(x), at most 2 ulp; ±1 at ±∞, NaN stays. Polynomial in x² below 0.925, above it 1 − exp(polynomial in |x|).
KOKKOS_INLINE_FUNCTION float fast_erf(float x) {
  const float s = x * x;
  float a = magnitude(x);
  const float small =
      Kokkos::fma(horner(s, 0.12837916612625122f, -0.37612634897232056f, 0.11283694207668304f, -0.02685927040874958f,
                         0.005200634244829416f, -0.0008137437398545444f, 8.345225069206208e-05f),
                  x, x);
  const bool near = a < 0.925f;
  a = a > 4.0f ? 4.0f : a;
  const float log_erfc =
      horner(a, 0.00017587473848834634f, -1.1295207738876343f, -0.6333346366882324f, -0.10829395055770874f,
             0.025128627195954323f, -0.004174643661826849f, 0.00043521905899979174f, -2.1161922632018104e-05f);
  return near ? small : copy_sign(1.0f - fast_exp(log_erfc), x);
}

/// 1 / (1 + exp(−x)), at most 3 ulp.
KOKKOS_INLINE_FUNCTION float sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

/// log(1 + exp(x)), at most 3 ulp.
KOKKOS_INLINE_FUNCTION float softplus(float x) { return (x > 0.0f ? x : 0.0f) + fast_log1p(fast_exp(-magnitude(x))); }

/// Φ(x) = (1 + erf(x/√2)) / 2, the cumulative normal distribution; absolute error at most 1e-7.
KOKKOS_INLINE_FUNCTION float normal_cdf(float x) { return Kokkos::fma(0.5f, fast_erf(x * 0.707106781f), 0.5f); }

/// x·Φ(x) (Hendrycks & Gimpel 2016, exact form); absolute error at most 1e-7·|x|.
KOKKOS_INLINE_FUNCTION float gelu(float x) { return x * normal_cdf(x); }

/// Φ(x) + x·φ(x); absolute error at most 2e-7.
KOKKOS_INLINE_FUNCTION float gelu_derivative(float x) {
  return Kokkos::fma(x * 0.398942280f, fast_exp(-0.5f * x * x), normal_cdf(x));
}

/// x·sigmoid(x) (Ramachandran et al. 2017), at most 4 ulp.
KOKKOS_INLINE_FUNCTION float silu(float x) { return x * sigmoid(x); }

/// σ(x)·(1 + x·(1 − σ(x))); absolute error at most 2e-7·(1 + |x|).
KOKKOS_INLINE_FUNCTION float silu_derivative(float x) {
  const float s = sigmoid(x);
  return s * Kokkos::fma(x, 1.0f - s, 1.0f);
}

}  // namespace switchyard
