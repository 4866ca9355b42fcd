// The one clock that durations and timelines are read from.
#pragma once
#include <chrono>

namespace switchyard {

/// Seconds of this machine's steady clock; of no other machine's.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace switchyard
