// Gradients of experts' hidden layers.
#include "tensor/products/experts_epilogue_cuda.hpp"
#include "tensor/products/experts_launch_cuda.hpp"

namespace switchyard::products::experts {

void hidden_gradient(const Call& call, const HiddenGradient& p) {
  const Operands o{1, 1, p.index, {p.dy}, {call.width}, {call.width}, {p.down}, {call.hidden}};
  launch<Weights::across>(call, o, Sloped{p.up, p.gate, p.hidden, p.scaled, p.factor, p.dots, call.hidden});
}

}  // namespace switchyard::products::experts
