// Reductions over the channels of one row: 16 partial sums, one a lane, added as a tree. The order depends on the
// length alone.
#pragma once
#include <Kokkos_Core.hpp>

#include "tensor/math.hpp"

namespace switchyard::model::row {

constexpr int lanes = 16;

/// Sum of the lanes as a tree of halves; destroys them.
KOKKOS_INLINE_FUNCTION float add_lanes(float* lane) {
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

/// Σ a·b
KOKKOS_INLINE_FUNCTION float dot(const float* a, const float* b, int n) {
  float sum[lanes] = {};
  int i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) sum[l] = Kokkos::fma(a[i + l], b[i + l], sum[l]);
  for (int l = 0; l < n - i; ++l) sum[l] = Kokkos::fma(a[i + l], b[i + l], sum[l]);
  return add_lanes(sum);
}

/// Σ a·b·c
KOKKOS_INLINE_FUNCTION float dot3(const float* a, const float* b, const float* c, int n) {
  float sum[lanes] = {};
  int i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) sum[l] = Kokkos::fma(a[i + l] * b[i + l], c[i + l], sum[l]);
  for (int l = 0; l < n - i; ++l) sum[l] = Kokkos::fma(a[i + l] * b[i + l], c[i + l], sum[l]);
  return add_lanes(sum);
}

/// Largest of n > 0 values; not a number is passed over.
KOKKOS_INLINE_FUNCTION float maximum(const float* a, int n) {
  float best[lanes];
  for (int l = 0; l < lanes; ++l) best[l] = a[0];
  int i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) best[l] = a[i + l] > best[l] ? a[i + l] : best[l];
  for (int l = 0; l < n - i; ++l) best[l] = a[i + l] > best[l] ? a[i + l] : best[l];
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) best[l] = best[l + half] > best[l] ? best[l + half] : best[l];
  return best[0];
}

/// out = exp(scale·a − shift), and their sum; out may be a.
KOKKOS_INLINE_FUNCTION float exp_sum(const float* a, float* out, int n, float scale, float shift) {
  float sum[lanes] = {};
  int i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) {
      const float e = math::fast_exp(Kokkos::fma(a[i + l], scale, -shift));
      out[i + l] = e;
      sum[l] += e;
    }
  for (int l = 0; l < n - i; ++l) {
    const float e = math::fast_exp(Kokkos::fma(a[i + l], scale, -shift));
    out[i + l] = e;
    sum[l] += e;
  }
  return add_lanes(sum);
}

}  // namespace switchyard::model::row
