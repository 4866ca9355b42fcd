// Y = X·Wᵀ of bf16 in floats, even groups.
#include "tensor/products/cutlass_even_cuda.hpp"

namespace switchyard::products {
namespace even_forward_float {
struct Kernel : EvenKernel<cutlass::layout::RowMajor, cutlass::layout::ColumnMajor, float> {};
}  // namespace even_forward_float

void cutlass_even_forward_float(const EvenLaunch& launch) { launch_even<even_forward_float::Kernel::Gemm>(launch); }

}  // namespace switchyard::products
