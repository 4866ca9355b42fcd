// A matrix of any element that does not own its memory: what modules hand to each other. Kernels are templates and see
// it through Lines<T>; all else is ordinary code.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/check.hpp"
#include "tensor/element.hpp"
#include "tensor/types.hpp"

namespace switchyard {

/// The elements that kernels serve.
enum class Element : std::uint8_t { f32, bf16 };

template <class T>
inline constexpr Element element_of = Element::f32;
template <>
inline constexpr Element element_of<Bf16> = Element::bf16;

/// Calls f with a value of the type of an element.
template <class F>
decltype(auto) by_element(Element element, const F& f) {
  if (element == Element::bf16) return f(Bf16{});
  return f(float{});
}

inline Index bytes_of(Element element) {
  return by_element(element, [](auto zero) { return static_cast<Index>(sizeof zero); });
}

/// Rows of T as kernels see them.
template <class T>
struct Lines {
  T* data;
  Index stride;
  KOKKOS_INLINE_FUNCTION T* row(Index i) const { return data + i * stride; }
  KOKKOS_INLINE_FUNCTION T& operator()(Index i, Index c) const { return data[i * stride + c]; }
};

/// (rows, width); element (i, c) is number i·stride + c of `data`, which is device memory.
struct Tensor {
  Tensor() = default;
  Tensor(void* memory, Element kind, Index row_count, Index row_width)
      : data(static_cast<std::byte*>(memory)), element(kind), rows(row_count), width(row_width), stride(row_width) {}
  /// All of a matrix of floats or Bf16.
  template <class T>
  Tensor(const Matrix<T>& m)  // NOLINT: a matrix is a tensor of one element
      : Tensor(m.data(), element_of<T>, static_cast<Index>(m.extent(0)), static_cast<Index>(m.extent(1))) {}

  std::byte* data = nullptr;
  Element element = Element::f32;
  Index rows = 0, width = 0, stride = 0;

  explicit operator bool() const { return data != nullptr; }
  bool contiguous() const { return stride == width; }
  /// Where element (row, column) lies.
  std::byte* at(Index row, Index column) const { return data + (row * stride + column) * bytes_of(element); }
  /// Rows [first, first + count), columns [column, column + columns).
  Tensor part(Index first, Index count) const { return part(first, count, 0, width); }
  Tensor part(Index first, Index count, Index column, Index columns) const {
    Tensor t(at(first, column), element, count, columns);
    t.stride = stride;
    return t;
  }
  template <class T>
  Lines<T> lines() const {
    expect(element == element_of<T>, "the element that a kernel was made for");
    return {reinterpret_cast<T*>(data), stride};
  }
  /// The floats of a contiguous tensor of them.
  Matrix<float> floats() const {
    expect(contiguous(), "rows one after another");
    return Matrix<float>(lines<float>().data, rows, width);
  }
};

}  // namespace switchyard
