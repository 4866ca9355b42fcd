// A grow-only array on the device with its twin on the host: one memory on host builds, two on device builds.
#pragma once
#include <type_traits>

#include "tensor/types.hpp"

namespace switchyard {

template <class T>
struct Staged {
  Vector<T> device;
  typename Vector<T>::HostMirror host;

  /// Room for n elements; contents are lost when it grows.
  void reserve(const char* label, Index n) {
    switchyard::reserve(device, label, n);
    // Sizes, since a device's allocator may give the same address to the larger memory.
    const bool stale = separate ? host.extent(0) != device.extent(0) : host.data() != device.data();
    if (stale) host = Kokkos::create_mirror_view(Kokkos::WithoutInitializing, device);
  }
  void to_device(Index n) const {
    if (separate && n > 0) Kokkos::deep_copy(first(device, n), first(host, n));
  }
  void to_host(Index n) const {
    if (separate && n > 0) Kokkos::deep_copy(first(host, n), first(device, n));
  }

 private:
  static constexpr bool separate = !std::is_same_v<typename Vector<T>::memory_space, Kokkos::HostSpace>;
  template <class V>
  static V first(const V& v, Index n) {
    return Kokkos::subview(v, Kokkos::make_pair(Index{0}, n));
  }
};

}  // namespace switchyard
