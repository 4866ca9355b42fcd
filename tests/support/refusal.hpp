// What a piece of work is refused with.
#pragma once
#include <string>

#include "base/check.hpp"

namespace switchyard::test {

/// What is thrown, after its code; "" where nothing is.
template <class Work>
std::string refusal(Work work) try {
  work();
  return "";
} catch (const Error& error) {
  return std::to_string(static_cast<int>(error.code())) + " " + error.what();
}

}  // namespace switchyard::test
