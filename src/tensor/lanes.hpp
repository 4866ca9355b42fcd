// Sums and maxima over one row in a fixed order: 16 partial sums, element i in lane i mod 16, lanes added by one tree.
// The same bits whatever the width of the machine's vectors.
#pragma once
#include <Kokkos_Core.hpp>
#include <cmath>

#include "tensor/element.hpp"
#include "tensor/types.hpp"

namespace switchyard {

constexpr int lane_count = 16;

/// Lanes added in pairs at distance 8, 4, 2, 1.
KOKKOS_INLINE_FUNCTION float lane_tree(float* lane) {
  for (int half = lane_count / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

/// Σ f(i) for i in [0, n); 0 for n = 0.
template <class F>
KOKKOS_INLINE_FUNCTION float lane_sum(int n, const F& f) {
  float lane[lane_count] = {};
  int i = 0;
  for (; i + lane_count <= n; i += lane_count)
    for (int l = 0; l < lane_count; ++l) lane[l] += f(i + l);
  for (int l = 0; i + l < n; ++l) lane[l] += f(i + l);
  return lane_tree(lane);
}

/// Σ a[i]·b[i] by fused multiply-adds of floats, whatever the elements are.
template <class A, class B>
KOKKOS_INLINE_FUNCTION float lane_dot(const A* a, const B* b, Index n) {
  float lane[lane_count] = {};
  Index i = 0;
  for (; i + lane_count <= n; i += lane_count)
    for (int l = 0; l < lane_count; ++l) lane[l] = Kokkos::fma(load(a[i + l]), load(b[i + l]), lane[l]);
  for (int l = 0; i + l < n; ++l) lane[l] = Kokkos::fma(load(a[i + l]), load(b[i + l]), lane[l]);
  return lane_tree(lane);
}

/// Floats as integers of the same order (a NaN without sign is above +∞), and back.
KOKKOS_INLINE_FUNCTION std::int32_t ordered_bits(float x) {
  const auto bits = Kokkos::bit_cast<std::int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}
KOKKOS_INLINE_FUNCTION float from_ordered_bits(std::int32_t key) {
  return Kokkos::bit_cast<float>(key ^ ((key >> 31) & 0x7FFFFFFF));
}

/// max f(i) for i in [0, n); −∞ for n = 0. As integers, since compilers do not vectorise a maximum of floats.
template <class F>
KOKKOS_INLINE_FUNCTION float lane_max(int n, const F& f) {
  std::int32_t lane[lane_count];
  for (int l = 0; l < lane_count; ++l) lane[l] = ordered_bits(-INFINITY);
  int i = 0;
  for (; i + lane_count <= n; i += lane_count)
    for (int l = 0; l < lane_count; ++l) {
      const std::int32_t key = ordered_bits(f(i + l));
      lane[l] = key > lane[l] ? key : lane[l];
    }
  for (int l = 0; i + l < n; ++l) {
    const std::int32_t key = ordered_bits(f(i + l));
    lane[l] = key > lane[l] ? key : lane[l];
  }
  for (int l = 1; l < lane_count; ++l) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
  return from_ordered_bits(lane[0]);
}

}  // namespace switchyard
