#include "moe/rows.hpp"

#include <Kokkos_MathematicalFunctions.hpp>
#include <algorithm>

#include "tensor/lanes.hpp"

namespace switchyard::moe::rows {
namespace {

constexpr int lanes = 16;

/// Iterations a row is cut into: a processor takes whole rows, neighbouring threads of a device neighbouring channels.
Index parts(Index width) { return on_host ? 1 : width; }

/// Iterations the choices of a token are dealt to: one on the host, on a device about one a choice.
Index strands_of(const Choices& choices) {
  return on_host || choices.tokens == 0 ? 1 : std::max<Index>(1, choices.capacity / choices.tokens);
}

template <class T>
KOKKOS_INLINE_FUNCTION void copy(Index n, const T* KOKKOS_RESTRICT from, T* KOKKOS_RESTRICT to) {
  for (Index c = 0; c < n; ++c) to[c] = from[c];
}

template <class T>
KOKKOS_INLINE_FUNCTION void scale(Index n, float factor, const float* KOKKOS_RESTRICT from, T* KOKKOS_RESTRICT to) {
  for (Index c = 0; c < n; ++c) store(factor * from[c], to[c]);
}

/// s(width channels from c) = Σ_j weight_j · row_j in choice order; `weight` null means 1.
template <int channels, class T>
KOKKOS_INLINE_FUNCTION void add_choices(const Choices& choices, Index token, Index c, Index width, const float* weight,
                                        const T* rows, float* s) {
  for (int l = 0; l < channels; ++l) s[l] = 0.0f;
  for (Index choice = choices.first[token]; choice < choices.first[token + 1]; ++choice) {
    if (choices.row[choice] < 0) continue;
    const T* row = rows + choices.row[choice] * width + c;
    const float w = weight ? weight[choice] : 1.0f;
    for (int l = 0; l < channels; ++l) s[l] = Kokkos::fma(w, load(row[l]), s[l]);
  }
}

/// Channels [c, c + channels) of out(token, ·) += s.
template <int channels>
KOKKOS_INLINE_FUNCTION void add(const float* s, float* out) {
  for (int l = 0; l < channels; ++l) out[l] += s[l];
}

template <class T>
void reduce_choices(const char* label, const Choices& choices, Index width, const float* weight, const T* rows,
                    float* out) {
  const Index cut = parts(width), n = width / cut;
  Kokkos::parallel_for(
      label, Kokkos::RangePolicy<Device>(0, choices.tokens * cut), KOKKOS_LAMBDA(Index i) {
        const Index token = i / cut, last = (i % cut + 1) * n;
        float* y = out + token * width;
        float s[lanes];
        Index c = i % cut * n;
        for (; c + lanes <= last; c += lanes) {
          add_choices<lanes>(choices, token, c, width, weight, rows, s);
          add<lanes>(s, y + c);
        }
        for (; c < last; ++c) {
          add_choices<1>(choices, token, c, width, weight, rows, s);
          add<1>(s, y + c);
        }
      });
}

KOKKOS_INLINE_FUNCTION bool all_finite(Index width, const float* row) {
  bool bad = false;  // an exponent of ones: infinite or not a number
  for (Index c = 0; c < width; ++c) bad |= (Kokkos::bit_cast<std::uint32_t>(row[c]) & 0x7F800000u) == 0x7F800000u;
  return !bad;
}

}  // namespace

template <class T>
void gather(Index n, Index width, const std::int32_t* index, const T* from, T* to) {
  const Index cut = parts(width), part = width / cut;
  Kokkos::parallel_for(
      "switchyard::moe::rows::gather", Kokkos::RangePolicy<Device>(0, n * cut), KOKKOS_LAMBDA(Index i) {
        const Index row = i / cut, c = i % cut * part;
        copy(part, from + index[row] * width + c, to + row * width + c);
      });
}

template <class T>
void scatter(Index n, Index width, const std::int32_t* index, const T* from, T* to) {
  const Index cut = parts(width), part = width / cut;
  Kokkos::parallel_for(
      "switchyard::moe::rows::scatter", Kokkos::RangePolicy<Device>(0, n * cut), KOKKOS_LAMBDA(Index i) {
        const Index row = i / cut, c = i % cut * part;
        copy(part, from + row * width + c, to + index[row] * width + c);
      });
}

template <class T>
void combine(const Choices& choices, Index width, const float* weight, const T* rows, float* y) {
  reduce_choices("switchyard::moe::rows::combine", choices, width, weight, rows, y);
}

template <class T>
void sum(const Choices& choices, Index width, const T* rows, float* dx) {
  reduce_choices("switchyard::moe::rows::sum", choices, width, nullptr, rows, dx);
}

template <class T>
void combine_backward(const Choices& choices, Index width, const float* weight, const float* dy, const T* rows,
                      float* dweight, T* d_rows) {
  const std::int32_t *first = choices.first, *row_of = choices.row;
  const Index strands = strands_of(choices);
  Kokkos::parallel_for(
      "switchyard::moe::rows::combine_weights", Kokkos::RangePolicy<Device>(0, choices.tokens * strands),
      KOKKOS_LAMBDA(Index s) {
        const Index t = s / strands;
        for (Index i = first[t] + s % strands; i < first[t + 1]; i += strands)
          dweight[i] = row_of[i] < 0 ? 0.0f : lane_dot(dy + t * width, rows + row_of[i] * width, width);
      });
  const Index cut = parts(width), part = width / cut;
  Kokkos::parallel_for(
      "switchyard::moe::rows::combine_rows", Kokkos::RangePolicy<Device>(0, choices.tokens * cut),
      KOKKOS_LAMBDA(Index j) {
        const Index t = j / cut, c = j % cut * part;
        for (Index i = first[t]; i < first[t + 1]; ++i)
          if (row_of[i] >= 0) scale(part, weight[i], dy + t * width + c, d_rows + row_of[i] * width + c);
      });
}

Index first_made_non_finite(Index n, Index width, const float* from, const float* to) {
  Index first = n;
  Kokkos::parallel_reduce(
      "switchyard::moe::rows::first_made_non_finite", Kokkos::RangePolicy<Device>(0, n),
      KOKKOS_LAMBDA(Index r, Index & least) {
        if (r < least && all_finite(width, from + r * width) && !all_finite(width, to + r * width)) least = r;
      },
      Kokkos::Min<Index>(first));
  return first < n ? first : -1;
}

#define SWITCHYARD_ROWS(T)                                                      \
  template void gather(Index, Index, const std::int32_t*, const T*, T*);        \
  template void scatter(Index, Index, const std::int32_t*, const T*, T*);       \
  template void combine(const Choices&, Index, const float*, const T*, float*); \
  template void sum(const Choices&, Index, const T*, float*);                   \
  template void combine_backward(const Choices&, Index, const float*, const float*, const T*, float*, T*);
SWITCHYARD_ROWS(float)
SWITCHYARD_ROWS(Bf16)
#undef SWITCHYARD_ROWS

}  // namespace switchyard::moe::rows
