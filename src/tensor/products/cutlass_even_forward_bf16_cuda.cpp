// Y = X·Wᵀ in bf16, even groups.
#include "tensor/products/cutlass_even_cuda.hpp"

namespace switchyard::products {
namespace even_forward_bf16 {
struct Kernel : EvenKernel<cutlass::layout::RowMajor, cutlass::layout::ColumnMajor, cutlass::bfloat16_t> {};
}  // namespace even_forward_bf16

void cutlass_even_forward_bf16(const EvenLaunch& launch) { launch_even<even_forward_bf16::Kernel::Gemm>(launch); }

}  // namespace switchyard::products
