#include "tensor/sum.hpp"

#include <bit>

namespace switchyard {
namespace {

template <class T>
void add_rows(const Queue& queue, const Lines<T>& a, const Lines<T>& b, const Tensor& to) {
  const Lines<T> sum = to.lines<T>();
  const Index width = to.width, cut = on_host ? 1 : width, part = width / cut;
  Kokkos::parallel_for(
      "switchyard::sum::add", queue.range(to.rows * cut), KOKKOS_LAMBDA(Index i) {
        const Index row = i / cut, first = i % cut * part;
        const T *left = a.row(row) + first, *right = b.row(row) + first;
        T* s = sum.row(row) + first;
        for (Index c = 0; c < part; ++c) store(load(left[c]) + load(right[c]), s[c]);
      });
}

}  // namespace

void add(const Queue& queue, const Tensor& a, const Tensor& b, const Tensor& to) {
  by_element(to.element, [&](auto zero) {
    using T = decltype(zero);
    add_rows(queue, a.lines<T>(), b.lines<T>(), to);
  });
}

void add_along_tree(const Queue& queue, const std::vector<Tensor>& parts, const Tensor& to) {
  const std::size_t count = parts.size();
  expect(std::has_single_bit(count) && (count > 1 || parts[0].data == to.data), "as many parts as a power of two");
  for (std::size_t step = 1; step < count; step *= 2)
    for (std::size_t left = 0; left < count; left += 2 * step)
      add(queue, parts[left], parts[left + step], 2 * step == count ? to : parts[left]);
}

}  // namespace switchyard
