// Vectors of the machine's native width, as compiler vector types; the one place that names instruction sets.
#pragma once
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif
#include <cmath>
#include <cstring>
#include <utility>

namespace switchyard::simd {

// tile_rows: rows of a register tile of two vectors, so that sums, two operands and one broadcast fill the registers.
#if defined(__AVX512F__)
constexpr int width = 16;
constexpr int tile_rows = 14;
constexpr const char* name = "avx512 16 x 14x32";
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int width = 8;
constexpr int tile_rows = 6;
constexpr const char* name = "avx2 8 x 6x16";
#else
constexpr int width = 4;
constexpr int tile_rows = 4;
constexpr const char* name = "generic 4 x 4x8";
#endif
static_assert(tile_rows <= width);  // a tile is transposed in blocks of width by width

typedef float Vec __attribute__((vector_size(width * sizeof(float))));

[[gnu::always_inline]] inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

[[gnu::always_inline]] inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

/// Stores past the caches, for results that are not read soon; p aligned to the vector. stream_end() before others
/// read.
[[gnu::always_inline]] inline void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, v);
#elif defined(__AVX2__) && defined(__FMA__)
  _mm256_stream_ps(p, v);
#else
  store(p, v);
#endif
}

inline void stream_end() {
#if defined(__AVX2__) && defined(__FMA__)
  _mm_sfence();
#endif
}

/// All lanes s; s − 0 keeps the sign of a zero.
[[gnu::always_inline]] inline Vec broadcast(float s) { return s - Vec{}; }

/// a·b + c with one rounding.
[[gnu::always_inline]] inline Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  for (int l = 0; l < width; ++l) c[l] = std::fma(a[l], b[l], c[l]);
  return c;
#endif
}

namespace detail {

/// One stage of a transposition: exchanges the off-diagonal blocks of size `step` of rows a and b.
template <int step, int... lane>
[[gnu::always_inline]] inline void exchange(Vec& a, Vec& b, std::integer_sequence<int, lane...>) {
  const Vec low = __builtin_shufflevector(a, b, (lane & step ? lane - step + width : lane)...);
  b = __builtin_shufflevector(a, b, (lane & step ? lane + width : lane + step)...);
  a = low;
}

template <int step>
[[gnu::always_inline]] inline void exchange_all(Vec (&v)[width]) {
  if constexpr (step > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i)
      if (!(i & step)) exchange<step>(v[i], v[i + step], std::make_integer_sequence<int, width>());
    exchange_all<step / 2>(v);
  }
}

}  // namespace detail

/// v[i][j] ↔ v[j][i].
[[gnu::always_inline]] inline void transpose(Vec (&v)[width]) { detail::exchange_all<width / 2>(v); }

}  // namespace switchyard::simd
