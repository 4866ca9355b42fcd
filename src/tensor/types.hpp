// The one place that names a backend. Everything is row-major.
#pragma once
#include <Kokkos_Core.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

using Device = Kokkos::DefaultExecutionSpace;
using Host = Kokkos::DefaultHostExecutionSpace;
using Index = std::int64_t;

/// Whether the device is the host itself: kernels then take whole rows and tiles where a GPU takes elements.
inline constexpr bool on_host = Kokkos::SpaceAccessibility<Host, Device::memory_space>::accessible;

template <class T>
using Vector = Kokkos::View<T*, Kokkos::LayoutRight, Device::memory_space>;
template <class T>
using Matrix = Kokkos::View<T**, Kokkos::LayoutRight, Device::memory_space>;
template <class T>
using HostVector = Kokkos::View<T*, Kokkos::LayoutRight, Kokkos::HostSpace>;
/// Of the host, page-locked where there is a device apart: it copies to and from there by itself, while the host polls.
template <class T>
using StagingVector = Kokkos::View<T*, Kokkos::LayoutRight, Kokkos::SharedHostPinnedSpace>;
template <class T>
using HostMatrix = Kokkos::View<T**, Kokkos::LayoutRight, Kokkos::HostSpace>;

/// Uninitialised memory with a label.
template <class V, class... N>
V make_view(const char* label, N... extents) {
  return V(Kokkos::view_alloc(std::string(label), Kokkos::WithoutInitializing), extents...);
}

/// All elements of a contiguous view in order, on the host, once the device has done what was asked before.
template <class V>
std::vector<typename V::non_const_value_type> host_values(const V& view) {
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), view);
  Kokkos::fence("switchyard::host_values");
  return {host.data(), host.data() + host.size()};
}

}  // namespace switchyard
