// The middle of what was measured.
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

namespace switchyard {

/// Of an even number the upper one; `values` is not empty.
template <class T>
T median_of(std::vector<T> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace switchyard
