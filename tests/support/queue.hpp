// The queue that tests work in.
#pragma once
#include "tensor/queue.hpp"

namespace switchyard::test {

/// Lives to the end of the process, when a device may be gone already.
inline const Queue& queue() {
  static const Queue& one = *new Queue;
  return one;
}

}  // namespace switchyard::test
