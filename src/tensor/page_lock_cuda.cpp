#include <cuda_runtime_api.h>

#include <utility>

#include "tensor/check_cuda.hpp"
#include "tensor/page_lock.hpp"

namespace switchyard {

std::shared_ptr<void> page_locked(std::shared_ptr<void> memory, std::int64_t bytes) {
  void* const data = memory.get();
  check_cuda(cudaHostRegister(data, static_cast<std::size_t>(bytes), cudaHostRegisterDefault), "cudaHostRegister");
  return {data, [memory = std::move(memory)](void* locked) {
            static_cast<void>(cudaHostUnregister(locked));  // of a context that may be gone
          }};
}

}  // namespace switchyard
