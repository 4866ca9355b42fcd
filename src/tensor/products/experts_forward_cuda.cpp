// Forward products of experts that an activation follows.
#include "tensor/products/experts_epilogue_cuda.hpp"
#include "tensor/products/experts_launch_cuda.hpp"

namespace switchyard::products::experts {

void up(const Call& call, const Up& p) {
  const bool gated = activation::gated(p.activation);
  Operands o{1, gated ? 2 : 1, p.index, {p.x}, {call.width}, {call.width}, {p.up, p.gate}, {call.hidden, call.hidden}};
  if (gated)
    launch<Weights::along_two>(call, o, Gated{p.hidden, p.slope_up, p.slope_gate, call.hidden});
  else
    launch<Weights::along>(call, o, Activated{p.hidden, p.slope_up, call.hidden, p.activation});
}

}  // namespace switchyard::products::experts
