// Input gradients of experts.
#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/products/experts_epilogue_cuda.hpp"
#include "tensor/products/experts_launch_cuda.hpp"

namespace switchyard::products::experts {

void hidden_gradient(const Call& call, const HiddenGradient& p) {
  const Operands operands{{p.dy, nullptr}, p.index, {p.down, {}}, call.width, call.hidden, 1};
  launch<Weights::across>(call, operands, Sloped{p.up, p.gate, p.hidden, p.scaled, p.factor, p.dots, call.hidden});
}

void input_gradient(const Call& call, const InputGradient& p) {
  const bool gated = p.d_gate != nullptr;
  const Operands operands{{p.d_up, p.d_gate}, nullptr,    {p.up, gated ? p.gate : Matrices{}},
                          call.hidden,        call.width, gated ? 2 : 1};
  launch<Weights::across>(call, operands, Plain{p.dx, call.width});
}

}  // namespace switchyard::products::experts
