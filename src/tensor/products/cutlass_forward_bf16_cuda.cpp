// Y = X·Wᵀ in bf16.
#include "tensor/products/cutlass_grouped_cuda.hpp"

namespace switchyard::products {
namespace forward_bf16 {
struct Kernel : GroupedKernel<cutlass::layout::RowMajor, cutlass::layout::ColumnMajor, cutlass::bfloat16_t,
                              Extent<64, 256>, Cluster<1>, Pingpong> {};
}  // namespace forward_bf16

void cutlass_forward_bf16(const GroupLaunch& launch) {
  launch_grouped<forward_bf16::Kernel::Gemm>(launch, Raster::along_m);
}

}  // namespace switchyard::products
