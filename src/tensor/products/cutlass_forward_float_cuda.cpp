// Y = X·Wᵀ of bf16 in floats.
#include "tensor/products/cutlass_grouped_cuda.hpp"

namespace switchyard::products {
namespace forward_float {
struct Kernel : GroupedKernel<cutlass::layout::RowMajor, cutlass::layout::ColumnMajor, float, Extent<64, 256>,
                              Cluster<1>, Pingpong> {};
}  // namespace forward_float

void cutlass_forward_float(const GroupLaunch& launch) {
  launch_grouped<forward_float::Kernel::Gemm>(launch, Raster::along_m);
}

}  // namespace switchyard::products
