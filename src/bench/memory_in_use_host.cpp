#include <sys/resource.h>

#include "bench/allocations.hpp"

namespace switchyard::bench {

std::int64_t memory_in_use() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} << 10;
}

}  // namespace switchyard::bench
