#include "tensor/products/floats_host.hpp"

namespace switchyard::products {
namespace {

template <class T>
void convert(const Lines<T>& from, Index rows, Index width, float* to) {
  for (Index i = 0; i < rows; ++i)
    for (Index c = 0; c < width; ++c) to[i * width + c] = load(from(i, c));
}

template <class T>
void round(const float* sums, Index rows, Index width, bool add, const Lines<T>& to) {
  for (Index i = 0; i < rows; ++i)
    for (Index c = 0; c < width; ++c) {
      const float sum = sums[i * width + c];
      store(add ? load(to(i, c)) + sum : sum, to(i, c));
    }
}

}  // namespace

ConstBlock floats_of(const Tensor& t, float* memory) {
  if (t.element == Element::f32) return {t.lines<float>().data, t.stride};
  by_element(t.element, [&](auto zero) { convert(t.lines<decltype(zero)>(), t.rows, t.width, memory); });
  return {memory, t.width};
}

ConstBlock floats_of(const Tensor& t, simd::Scratch& scratch) {
  return floats_of(t, t.element == Element::f32 ? nullptr : scratch.floats(t.rows * t.width));
}

void store_rounded(const float* sums, const Tensor& t, Write write) {
  by_element(t.element,
             [&](auto zero) { round(sums, t.rows, t.width, write == Write::add, t.lines<decltype(zero)>()); });
}

}  // namespace switchyard::products
