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

/// Of attentions those that can be trained: the others are only counted.
template <>
inline std::vector<AttentionKind> all_of<AttentionKind>() {
  std::vector<AttentionKind> all;
  for (std::size_t i = 0; i < EnumNames<AttentionKind>::names.size(); ++i) {
    Config config;
    config.model.attention = static_cast<AttentionKind>(i);
    const std::vector<Violation> broken = validate(config, 0);
    if (std::none_of(broken.begin(), broken.end(), [](const Violation& v) { return v.key == "model.attention"; }))
      all.push_back(config.model.attention);
  }
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
