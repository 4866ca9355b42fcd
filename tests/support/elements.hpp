// Device memory of any element from floats, and back.
#pragma once
#include <vector>

#include "tensor/element.hpp"
#include "tensor/types.hpp"

namespace switchyard::test {

/// `values` rounded to the element T.
template <class T>
Vector<T> elements_of(const std::vector<float>& values) {
  const HostVector<T> host("host", values.size());
  for (std::size_t i = 0; i < values.size(); ++i) store(values[i], host(i));
  return Kokkos::create_mirror_view_and_copy(Device::memory_space{}, host);
}

template <class T>
std::vector<float> floats_of(const Vector<T>& device) {
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, device);
  std::vector<float> values(host.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = load(host(i));
  return values;
}

template <class T>
float rounded(float value) {
  T element;
  store(value, element);
  return load(element);
}

/// Half of the last place of a number around 1: what rounding to the element may change.
template <class T>
constexpr double unit_of = sizeof(T) == sizeof(float) ? 6e-8 : 3.9e-3;

}  // namespace switchyard::test
