#include <cuda_runtime.h>

#include "bench/allocations.hpp"
#include "tensor/check_cuda.hpp"

namespace switchyard::bench {

std::int64_t memory_in_use() {
  std::size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<std::int64_t>(total - free);
}

}  // namespace switchyard::bench
