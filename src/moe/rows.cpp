#include "moe/rows.hpp"

#include <Kokkos_MathematicalFunctions.hpp>
#include <algorithm>

#include "tensor/lanes.hpp"

namespace switchyard::moe::rows {
namespace {

constexpr int lanes = 16;

struct Shape {
  Index rows, width;
};

/// Iterations a row is cut into: a processor takes whole rows, neighbouring threads of a device neighbouring channels.
Index parts(Index width) { return on_host ? 1 : width; }

/// Iterations the choices of a token are dealt to: one on the host, on a device about one a choice.
Index strands_of(const Choices& choices) {
  return on_host || choices.tokens == 0 ? 1 : std::max<Index>(1, choices.capacity / choices.tokens);
}

template <class T>
KOKKOS_INLINE_FUNCTION void copy_row(Index n, const T* KOKKOS_RESTRICT from, T* KOKKOS_RESTRICT to) {
  for (Index c = 0; c < n; ++c) to[c] = from[c];
}

template <class T>
KOKKOS_INLINE_FUNCTION void scale(Index n, float factor, const float* KOKKOS_RESTRICT from, T* KOKKOS_RESTRICT to) {
  for (Index c = 0; c < n; ++c) store(factor * from[c], to[c]);
}

/// s(width channels from c) = Σ_j weight_j · row_j in choice order; `weight` null means 1.
template <int channels, class T>
KOKKOS_INLINE_FUNCTION void add_choices(const Choices& choices, Index token, Index c, const float* weight,
                                        const Lines<T>& rows, float* s) {
  for (int l = 0; l < channels; ++l) s[l] = 0.0f;
  for (Index choice = choices.first[token]; choice < choices.first[token + 1]; ++choice) {
    if (choices.row[choice] < 0) continue;
    const T* row = rows.row(choices.row[choice]) + c;
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
void reduce_choices(const char* label, const Queue& queue, const Choices& choices, const float* weight,
                    const Lines<T>& rows, const Matrix<float>& out) {
  const Index width = out.extent(1), cut = parts(width), n = width / cut;
  Kokkos::parallel_for(
      label, queue.range(choices.tokens * cut), KOKKOS_LAMBDA(Index i) {
        const Index token = i / cut, last = (i % cut + 1) * n;
        float* y = &out(token, 0);
        float s[lanes];
        Index c = i % cut * n;
        for (; c + lanes <= last; c += lanes) {
          add_choices<lanes>(choices, token, c, weight, rows, s);
          add<lanes>(s, y + c);
        }
        for (; c < last; ++c) {
          add_choices<1>(choices, token, c, weight, rows, s);
          add<1>(s, y + c);
        }
      });
}

template <class T>
KOKKOS_INLINE_FUNCTION bool all_finite(Index width, const T* row) {
  bool bad = false;  // an exponent of ones: infinite or not a number
  for (Index c = 0; c < width; ++c) bad |= (Kokkos::bit_cast<std::uint32_t>(load(row[c])) & 0x7F800000u) == 0x7F800000u;
  return !bad;
}

template <class T>
void gather_rows(const Queue& queue, const std::int32_t* index, const Lines<T>& from, const Lines<T>& to, Shape shape) {
  const Index cut = parts(shape.width), part = shape.width / cut;
  Kokkos::parallel_for(
      "switchyard::moe::rows::gather", queue.range(shape.rows * cut), KOKKOS_LAMBDA(Index i) {
        const Index row = i / cut, c = i % cut * part;
        copy_row(part, from.row(index[row]) + c, to.row(row) + c);
      });
}

template <class T>
void scatter_rows(const Queue& queue, const std::int32_t* index, const Lines<T>& from, const Lines<T>& to,
                  Shape shape) {
  const Index cut = parts(shape.width), part = shape.width / cut;
  Kokkos::parallel_for(
      "switchyard::moe::rows::scatter", queue.range(shape.rows * cut), KOKKOS_LAMBDA(Index i) {
        const Index row = i / cut, c = i % cut * part;
        copy_row(part, from.row(row) + c, to.row(index[row]) + c);
      });
}

template <class T>
void weight_gradients(const Queue& queue, const Choices& choices, const Matrix<float>& dy, const Lines<T>& rows,
                      float* dweight) {
  const Index strands = strands_of(choices), width = dy.extent(1);
  Kokkos::parallel_for(
      "switchyard::moe::rows::combine_weights", queue.range(choices.tokens * strands), KOKKOS_LAMBDA(Index s) {
        const Index t = s / strands;
        for (Index i = choices.first[t] + s % strands; i < choices.first[t + 1]; i += strands)
          dweight[i] = choices.row[i] < 0 ? 0.0f : lane_dot(&dy(t, 0), rows.row(choices.row[i]), width);
      });
}

template <class T>
void row_gradients(const Queue& queue, const Choices& choices, const float* weight, const Matrix<float>& dy,
                   const Lines<T>& gradient) {
  const Index cut = parts(dy.extent(1)), part = dy.extent(1) / cut;
  Kokkos::parallel_for(
      "switchyard::moe::rows::combine_rows", queue.range(choices.tokens * cut), KOKKOS_LAMBDA(Index j) {
        const Index t = j / cut, c = j % cut * part;
        for (Index i = choices.first[t]; i < choices.first[t + 1]; ++i)
          if (choices.row[i] >= 0) scale(part, weight[i], &dy(t, c), gradient.row(choices.row[i]) + c);
      });
}

template <class T>
Index first_made(const Queue& queue, const Lines<T>& from, const Lines<T>& to, Shape shape) {
  Index first = shape.rows;
  const Index width = shape.width;
  Kokkos::parallel_reduce(
      "switchyard::moe::rows::first_made_non_finite", queue.range(shape.rows),
      KOKKOS_LAMBDA(Index r, Index & least) {
        if (r < least && all_finite(width, from.row(r)) && !all_finite(width, to.row(r))) least = r;
      },
      Kokkos::Min<Index>(first));
  return first < shape.rows ? first : -1;
}

}  // namespace

void gather(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to) {
  by_element(to.element, [&](auto zero) {
    using T = decltype(zero);
    gather_rows(queue, index, from.lines<T>(), to.lines<T>(), {to.rows, to.width});
  });
}

void scatter(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to) {
  by_element(to.element, [&](auto zero) {
    using T = decltype(zero);
    scatter_rows(queue, index, from.lines<T>(), to.lines<T>(), {from.rows, from.width});
  });
}

void combine(const Queue& queue, const Choices& choices, const float* weight, const Tensor& rows, const Tensor& y) {
  by_element(rows.element, [&](auto zero) {
    reduce_choices("switchyard::moe::rows::combine", queue, choices, weight, rows.lines<decltype(zero)>(), y.floats());
  });
}

void sum(const Queue& queue, const Choices& choices, const Tensor& rows, const Tensor& dx) {
  by_element(rows.element, [&](auto zero) {
    reduce_choices("switchyard::moe::rows::sum", queue, choices, nullptr, rows.lines<decltype(zero)>(), dx.floats());
  });
}

void combine_backward(const Queue& queue, const Choices& choices, const float* weight, const Tensor& dy, float* dweight,
                      const RowGradient& rows) {
  by_element(rows.rows.element, [&](auto zero) {
    using T = decltype(zero);
    weight_gradients(queue, choices, dy.floats(), rows.rows.lines<T>(), dweight);
    row_gradients(queue, choices, weight, dy.floats(), rows.gradient.lines<T>());
  });
}

Index first_made_non_finite(const Queue& queue, const Tensor& from, const Tensor& to) {
  return by_element(to.element, [&](auto zero) {
    using T = decltype(zero);
    return first_made(queue, from.lines<T>(), to.lines<T>(), {to.rows, to.width});
  });
}

}  // namespace switchyard::moe::rows
