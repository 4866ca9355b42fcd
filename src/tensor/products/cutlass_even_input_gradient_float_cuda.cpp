// dX = dY·W of bf16 in floats, even groups.
#include "tensor/products/cutlass_even_cuda.hpp"

namespace switchyard::products {
namespace even_input_gradient_float {
struct Kernel : EvenKernel<cutlass::layout::RowMajor, cutlass::layout::RowMajor, float> {};
}  // namespace even_input_gradient_float

void cutlass_even_input_gradient_float(const EvenLaunch& launch) {
  launch_even<even_input_gradient_float::Kernel::Gemm>(launch);
}

}  // namespace switchyard::products
