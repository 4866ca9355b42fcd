// dW = dYᵀ·X of bf16 in floats, where a group has many rows.
#include "tensor/products/cutlass_grouped_cuda.hpp"

namespace switchyard::products {
namespace weight_gradient_many {
struct Kernel : GroupedKernel<cutlass::layout::ColumnMajor, cutlass::layout::RowMajor, float, Extent<128, 128>,
                              Cluster<2>, Pingpong> {};
}  // namespace weight_gradient_many

void cutlass_weight_gradient_many(const GroupLaunch& launch) {
  launch_grouped<weight_gradient_many::Kernel::Gemm>(launch);
}

}  // namespace switchyard::products
