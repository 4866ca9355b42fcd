// The one place that names a backend. Everything is row-major.
#pragma once
#include <Kokkos_Core.hpp>
#include <cstdint>

namespace switchyard {

using Device = Kokkos::DefaultExecutionSpace;
using Host = Kokkos::DefaultHostExecutionSpace;
using Index = std::int64_t;

template <class T>
using Vector = Kokkos::View<T*, Kokkos::LayoutRight, Device::memory_space>;
template <class T>
using Matrix = Kokkos::View<T**, Kokkos::LayoutRight, Device::memory_space>;
template <class T>
using HostVector = Kokkos::View<T*, Kokkos::LayoutRight, Kokkos::HostSpace>;
template <class T>
using HostMatrix = Kokkos::View<T**, Kokkos::LayoutRight, Kokkos::HostSpace>;

/// Uninitialised memory with a label.
template <class V, class... N>
V make_view(const char* label, N... extents) {
  return V(Kokkos::view_alloc(std::string(label), Kokkos::WithoutInitializing), extents...);
}

/// `v` with room for at least n elements; contents are lost when it grows. Grows by half so that it settles soon.
template <class T>
void reserve(Vector<T>& v, const char* label, Index n) {
  if (static_cast<Index>(v.extent(0)) < n) {
    v = Vector<T>();
    v = make_view<Vector<T>>(label, n + n / 2);
  }
}

}  // namespace switchyard
