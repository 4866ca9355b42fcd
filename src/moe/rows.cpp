// What both backends share of the row kernels: rows_host.cpp and rows_cuda.cpp have the others.
#include "moe/rows.hpp"

#include <Kokkos_MathematicalFunctions.hpp>

namespace switchyard::moe::rows {
namespace {

template <class T>
KOKKOS_INLINE_FUNCTION bool all_finite(Index width, const T* row) {
  bool bad = false;  // an exponent of ones: infinite or not a number
  for (Index c = 0; c < width; ++c) bad |= (Kokkos::bit_cast<std::uint32_t>(load(row[c])) & 0x7F800000u) == 0x7F800000u;
  return !bad;
}

template <class T>
Index first_made(const Queue& queue, const Lines<T>& from, const Lines<T>& to, Index rows, Index width) {
  Index first = rows;
  Kokkos::parallel_reduce(
      "switchyard::moe::rows::first_made_non_finite", queue.range(rows),
      KOKKOS_LAMBDA(Index r, Index & least) {
        if (r < least && all_finite(width, from.row(r)) && !all_finite(width, to.row(r))) least = r;
      },
      Kokkos::Min<Index>(first));
  return first < rows ? first : -1;
}

}  // namespace

Index first_made_non_finite(const Queue& queue, const Tensor& from, const Tensor& to) {
  return by_element(to.element, [&](auto zero) {
    using T = decltype(zero);
    return first_made(queue, from.lines<T>(), to.lines<T>(), to.rows, to.width);
  });
}

}  // namespace switchyard::moe::rows
