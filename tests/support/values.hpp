// Made-up numbers, the same on every rank.
#pragma once
#include <random>
#include <vector>

#include "config/layout.hpp"
#include "tensor/types.hpp"

namespace switchyard::test {

/// In [−1, 1), a fixed function of (i, salt).
inline float noise(std::uint64_t i, std::uint64_t salt) {
  std::uint64_t z = i * 0x9E3779B97F4A7C15ull + salt * 0xD1B54A32D192ED03ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<float>((z ^ (z >> 31)) >> 40) / 8388608.0f - 1.0f;
}

/// Element (row, column) of a matrix of the global batch.
inline float value(std::uint64_t salt, std::int64_t row, std::int64_t column) {
  return noise((static_cast<std::uint64_t>(row) << 16) + static_cast<std::uint64_t>(column), salt);
}

/// Rows `rows` of such a matrix; all its rows are the first where they are `alike`.
inline Matrix<float> filled(std::uint64_t salt, const Range& rows, Index columns, bool alike = false) {
  const HostMatrix<float> host("host", rows.size(), columns);
  for (std::int64_t r = rows.first; r < rows.last; ++r)
    for (Index c = 0; c < columns; ++c) host(r - rows.first, c) = value(salt, alike ? 0 : r, c);
  return Kokkos::create_mirror_view_and_copy(Device::memory_space{}, host);
}

/// The values in device memory.
template <class T>
Vector<T> on_device(const std::vector<T>& values) {
  const Vector<T> device("values", values.size());
  Kokkos::deep_copy(device, HostVector<const T>(values.data(), values.size()));
  return device;
}

/// n numbers drawn from [−1, 1).
inline std::vector<float> numbers(Index n, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> draw(-1.0f, 1.0f);
  std::vector<float> drawn(n);
  for (float& x : drawn) x = draw(engine);
  return drawn;
}

}  // namespace switchyard::test
