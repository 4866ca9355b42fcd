// dX = dY·W in bf16.
#include "tensor/products/cutlass_grouped_cuda.hpp"

namespace switchyard::products {
namespace input_gradient_bf16 {
struct Kernel : GroupedKernel<cutlass::layout::RowMajor, cutlass::layout::RowMajor, cutlass::bfloat16_t,
                              Extent<64, 256>, Cluster<1>, Pingpong> {};
}  // namespace input_gradient_bf16

void cutlass_input_gradient_bf16(const GroupLaunch& launch) {
  launch_grouped<input_gradient_bf16::Kernel::Gemm>(launch, Raster::along_m);
}

}  // namespace switchyard::products
