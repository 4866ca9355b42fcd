// dX = dY·W of bf16 in floats.
#include "tensor/products/cutlass_grouped_cuda.hpp"

namespace switchyard::products {
namespace input_gradient_float {
struct Kernel : GroupedKernel<cutlass::layout::RowMajor, cutlass::layout::RowMajor, float, Extent<64, 256>, Cluster<1>,
                              Pingpong> {};
}  // namespace input_gradient_float

void cutlass_input_gradient_float(const GroupLaunch& launch) {
  launch_grouped<input_gradient_float::Kernel::Gemm>(launch, Raster::along_m);
}

}  // namespace switchyard::products
