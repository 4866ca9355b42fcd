// Launches of kernels whose blocks may come before the kernel before them in the stream is through: what a launch costs
// is then hidden behind it. Such a kernel awaits what was before it, by every thread, before it reads or writes memory
// that others write.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>

#include "tensor/check_cuda.hpp"

namespace switchyard::gpu {

/// Returns when all kernels before this one in its stream are through and what they wrote can be read.
__device__ __forceinline__ void await_before() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

/// Lets the blocks of the next kernel come as soon as there is room beside this one's.
__device__ __forceinline__ void let_next_come() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

/// kernel<<<grid, block, shared bytes, stream>>>(arguments...), of a kernel that calls await_before().
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream, A&&... arguments) {
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared, config.stream = stream;
  config.attrs = &early, config.numAttrs = 1;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...), "cudaLaunchKernelEx");
}

}  // namespace switchyard::gpu
