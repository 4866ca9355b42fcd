// The row kernels of dispatch and combine on the CPU.
#include <Kokkos_MathematicalFunctions.hpp>

#include "moe/rows.hpp"
#include "tensor/lanes.hpp"

namespace switchyard::moe::rows {
namespace {

constexpr int lanes = 16;
constexpr int max_group_levels = 7;
static_assert(max_combine_groups == 1 << (max_group_levels - 1));

struct Shape {
  Index rows, width;
};

template <class T>
KOKKOS_INLINE_FUNCTION void copy_row(Index n, const T* KOKKOS_RESTRICT from, T* KOKKOS_RESTRICT to) {
  for (Index c = 0; c < n; ++c) to[c] = from[c];
}

template <class T>
KOKKOS_INLINE_FUNCTION void scale(Index n, float factor, const float* KOKKOS_RESTRICT from, T* KOKKOS_RESTRICT to) {
  for (Index c = 0; c < n; ++c) store(factor * from[c], to[c]);
}

/// s(width channels from c) = the chain over the choices of group g of a token, +0 where there is none; whether there
/// is one.
template <int channels, class T>
KOKKOS_INLINE_FUNCTION bool add_group(const Choices& choices, Index token, int g, Index c, const float* weight,
                                      const Lines<T>& rows, float* s) {
  bool any = false;
  for (int l = 0; l < channels; ++l) s[l] = 0.0f;
  for (Index choice = choices.first[token]; choice < choices.first[token + 1]; ++choice) {
    if (choices.row[choice] < 0 || (choices.order.groups > 1 && choices.order.group_of(choice) != g)) continue;
    const T* row = rows.row(choices.row[choice]) + c;
    const float w = weight ? weight[choice] : 1.0f;
    for (int l = 0; l < channels; ++l) s[l] = choices.order.chained ? Kokkos::fma(w, load(row[l]), s[l]) : load(row[l]);
    any = true;
  }
  return any;
}

/// As a row of T has it.
template <class T>
KOKKOS_INLINE_FUNCTION float rounded(float value) {
  T as_row;
  store(value, as_row);
  return load(as_row);
}

/// The sum over the groups, along their tree: sum number g of a level waits for number g + 1 where g is even.
template <int channels, class T>
KOKKOS_INLINE_FUNCTION void add_groups(const Choices& choices, Index token, Index c, const float* weight,
                                       const Lines<T>& rows, float* s) {
  float waiting[max_group_levels][channels];
  bool there[max_group_levels];
  for (int g = 0; g < choices.order.groups; ++g) {
    bool any = add_group<channels>(choices, token, g, c, weight, rows, s);
    for (int l = 0; l < channels; ++l) s[l] = rounded<T>(s[l]);
    int level = 0;
    for (; g >> level & 1; ++level) {
      if (!there[level]) continue;
      for (int l = 0; l < channels; ++l) s[l] = any ? rounded<T>(waiting[level][l] + s[l]) : waiting[level][l];
      any = true;
    }
    for (int l = 0; l < channels; ++l) waiting[level][l] = s[l];
    there[level] = any;
  }
}

template <int channels, class T>
KOKKOS_INLINE_FUNCTION void add_choices(const Choices& choices, Index token, Index c, const float* weight,
                                        const Lines<T>& rows, float* s) {
  if (choices.order.groups > 1)
    add_groups<channels>(choices, token, c, weight, rows, s);
  else
    add_group<channels>(choices, token, 0, c, weight, rows, s);
}

/// Channels [c, c + channels) of out(token, ·) += s.
struct Add {
  Matrix<float> out;
  KOKKOS_INLINE_FUNCTION void operator()(Index token, Index c, int channels, const float* s) const {
    float* y = &out(token, 0) + c;
    for (int l = 0; l < channels; ++l) y[l] += s[l];
  }
};

template <class T>
struct Write {
  Lines<T> out;
  KOKKOS_INLINE_FUNCTION void operator()(Index token, Index c, int channels, const float* s) const {
    for (int l = 0; l < channels; ++l) store(s[l], out.row(token)[c + l]);
  }
};

/// Calls done(token, first channel, channels, s) for all sums.
template <class T, class Done>
void reduce_choices(const Queue& queue, const Choices& choices, const float* weight, const Lines<T>& rows, Index width,
                    const Done& done) {
  Kokkos::parallel_for(
      "switchyard::moe::rows::sums", queue.range(choices.tokens), KOKKOS_LAMBDA(Index token) {
        float s[lanes];
        Index c = 0;
        for (; c + lanes <= width; c += lanes) {
          add_choices<lanes>(choices, token, c, weight, rows, s);
          done(token, c, lanes, s);
        }
        for (; c < width; ++c) {
          add_choices<1>(choices, token, c, weight, rows, s);
          done(token, c, 1, s);
        }
      });
}

template <class T>
void gather_rows(const Queue& queue, const std::int32_t* index, const Lines<T>& from, const Lines<T>& to, Shape shape,
                 Index before) {
  const Index width = shape.width;
  Kokkos::parallel_for(
      "switchyard::moe::rows::gather", queue.range(shape.rows),
      KOKKOS_LAMBDA(Index row) { copy_row(width, from.row(index[row] - before), to.row(row)); });
}

template <class T>
void scatter_rows(const Queue& queue, const std::int32_t* index, const Lines<T>& from, const Lines<T>& to,
                  Shape shape) {
  const Index width = shape.width;
  Kokkos::parallel_for(
      "switchyard::moe::rows::scatter", queue.range(shape.rows),
      KOKKOS_LAMBDA(Index row) { copy_row(width, from.row(row), to.row(index[row])); });
}

template <class T>
void write_weight_gradients(const Queue& queue, const Choices& choices, const Matrix<float>& dy, const Lines<T>& rows,
                            float* dweight) {
  const Index width = dy.extent(1);
  Kokkos::parallel_for(
      "switchyard::moe::rows::combine_weights", queue.range(choices.tokens), KOKKOS_LAMBDA(Index t) {
        for (Index i = choices.first[t]; i < choices.first[t + 1]; ++i)
          dweight[i] = choices.row[i] < 0 ? 0.0f : lane_dot(&dy(t, 0), rows.row(choices.row[i]), width);
      });
}

template <class T>
void write_row_gradients(const Queue& queue, const Choices& choices, const float* weight, const Matrix<float>& dy,
                         const Lines<T>& gradient) {
  const Index width = dy.extent(1);
  Kokkos::parallel_for(
      "switchyard::moe::rows::combine_rows", queue.range(choices.tokens), KOKKOS_LAMBDA(Index t) {
        for (Index i = choices.first[t]; i < choices.first[t + 1]; ++i)
          if (choices.row[i] >= 0) scale(width, weight[i], &dy(t, 0), gradient.row(choices.row[i]));
      });
}

}  // namespace

void gather(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to, Index before) {
  by_element(to.element, [&](auto zero) {
    using T = decltype(zero);
    gather_rows(queue, index, from.lines<T>(), to.lines<T>(), {to.rows, to.width}, before);
  });
}

void scatter(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to) {
  by_element(to.element, [&](auto zero) {
    using T = decltype(zero);
    scatter_rows(queue, index, from.lines<T>(), to.lines<T>(), {from.rows, from.width});
  });
}

void add_sums(const Queue& queue, const Choices& choices, const float* weight, const Tensor& rows, const Tensor& y) {
  by_element(rows.element, [&](auto zero) {
    reduce_choices(queue, choices, weight, rows.lines<decltype(zero)>(), y.width, Add{y.floats()});
  });
}

void sums(const Queue& queue, const Choices& choices, const float* weight, const Tensor& rows, const Tensor& sums) {
  by_element(rows.element, [&](auto zero) {
    using T = decltype(zero);
    reduce_choices(queue, choices, weight, rows.lines<T>(), sums.width, Write<T>{sums.lines<T>()});
  });
}

void weight_gradients(const Queue& queue, const Choices& choices, const Tensor& dy, const Tensor& rows,
                      float* dweight) {
  by_element(rows.element, [&](auto zero) {
    write_weight_gradients(queue, choices, dy.floats(), rows.lines<decltype(zero)>(), dweight);
  });
}

void row_gradients(const Queue& queue, const Choices& choices, const float* weight, const Tensor& dy,
                   const Tensor& gradient) {
  by_element(gradient.element, [&](auto zero) {
    write_row_gradients(queue, choices, weight, dy.floats(), gradient.lines<decltype(zero)>());
  });
}

void gradients(const Queue& queue, const Choices& choices, const Gradients& g) {
  weight_gradients(queue, choices, g.dy, g.rows, g.dweight);
  row_gradients(queue, choices, g.weight, g.dy, g.gradient);
}

}  // namespace switchyard::moe::rows
