// dW = dYᵀ·X of bf16 in floats, even groups.
#include "tensor/products/cutlass_even_cuda.hpp"

namespace switchyard::products {
namespace even_weight_gradient {
struct Kernel : EvenKernel<cutlass::layout::ColumnMajor, cutlass::layout::RowMajor, float> {};
}  // namespace even_weight_gradient

void cutlass_even_weight_gradient(const EvenLaunch& launch) { launch_even<even_weight_gradient::Kernel::Gemm>(launch); }

}  // namespace switchyard::products
