// What causal_cuda.cpp launches: the kernels of both elements for any even head size up to 256, on plain pointers.
#pragma once
#include <cuda_runtime.h>

#include "model/attention/causal_rows_cuda.hpp"
#include "tensor/launch_cuda.hpp"

namespace switchyard::model::causal {

/// Memory of rotated copies, bfloat16 alone: (N, heads*D) and (N, kv_heads*D); not used where kernels rotate for
/// themselves.
struct Rotated {
  Bf16 *q = nullptr, *k = nullptr;
};

/// Whether every block of queries rotating all keys that it reads would take longer than copies of them.
inline bool rotates_ahead(const AttentionShape& shape) { return shape.context > 512 && shape.head_dim % 16 == 0; }

/// Fills out and log_sum.
void launch_forward(cudaStream_t stream, const Problem<Bf16>& problem, const Rotated& memory);
void launch_forward(cudaStream_t stream, const Problem<float>& problem);
/// Fills the gradients of q, k and v, and delta.
void launch_backward(cudaStream_t stream, const Problem<Bf16>& problem, const Gradients<Bf16>& gradients,
                     const Rotated& memory);
void launch_backward(cudaStream_t stream, const Problem<float>& problem, const Gradients<float>& gradients);

/// Calls f.template operator()<width>() with the first of the widths that holds dim channels.
template <int width, int... wider, class F>
void by_width(int dim, const F& f) {
  if constexpr (sizeof...(wider) > 0)
    if (dim > width) return by_width<wider...>(dim, f);
  f.template operator()<width>();
}

constexpr int most_shared = 226 * 1024;  ///< bytes a thread block may ask for, beside variables of kernels

/// One kernel: a grid of thread blocks of `threads`, with as much shared memory as it asks for.
template <auto kernel, class... A>
void launch(cudaStream_t stream, dim3 blocks, int threads, int bytes, const A&... arguments) {
  static const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared);
  check_cuda(allowed, "cudaFuncSetAttribute");
  gpu::launch(kernel, blocks, threads, bytes, stream, arguments...);
}
template <auto kernel, class... A>
void launch(cudaStream_t stream, Index blocks, int threads, int bytes, const A&... arguments) {
  launch<kernel>(stream, dim3(static_cast<unsigned>(blocks)), threads, bytes, arguments...);
}

}  // namespace switchyard::model::causal
