// dW = dYᵀ·X of bf16 in floats, where a group has few rows.
#include "tensor/products/cutlass_grouped_cuda.hpp"

namespace switchyard::products {
namespace weight_gradient_few {
struct Kernel : GroupedKernel<cutlass::layout::ColumnMajor, cutlass::layout::RowMajor, float, Extent<128, 256>,
                              Cluster<2>, Cooperative> {};
}  // namespace weight_gradient_few

void cutlass_weight_gradient_few(const GroupLaunch& launch) {
  launch_grouped<weight_gradient_few::Kernel::Gemm>(launch);
}

}  // namespace switchyard::products
