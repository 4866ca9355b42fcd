// Tables of tests that are made from the names of an enumeration, so that what is added to it is tested.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard::test {

/// Every enumerator of an enumeration of options.
template <class E>
std::vector<E> all_of() {
  std::vector<E> all;
  for (std::size_t i = 0; i < EnumNames<E>::names.size(); ++i) all.push_back(static_cast<E>(i));
  return all;
}

template <class E>
const std::string& name_of(E enumerator) {
  return EnumNames<E>::names[static_cast<std::size_t>(enumerator)];
}

/// Whether the options of the mixtures can be combined.
inline bool allowed(const Config& config) {
  const std::vector<Violation> broken = validate(config, 0);
  return std::none_of(broken.begin(), broken.end(), [](const Violation& v) { return v.key.starts_with("moe."); });
}

}  // namespace switchyard::test
