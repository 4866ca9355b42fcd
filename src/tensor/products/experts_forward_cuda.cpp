// Forward products of experts.
#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/products/experts_epilogue_cuda.hpp"
#include "tensor/products/experts_launch_cuda.hpp"

namespace switchyard::products::experts {

void up(const Call& call, const Up& p) {
  const bool gated = activation::gated(p.activation);
  const Operands operands{{p.x, nullptr}, p.index, {p.up, gated ? p.gate : Matrices{}}, call.width, call.hidden, 1};
  if (gated)
    launch<Weights::along_two>(call, operands, Gated{p.hidden, p.slope_up, p.slope_gate, call.hidden});
  else
    launch<Weights::along>(call, operands, Activated{p.hidden, p.slope_up, call.hidden, p.activation});
}

void down(const Call& call, const Down& p) {
  const Operands operands{{p.hidden, nullptr}, nullptr, {p.down, {}}, call.hidden, call.width, 1};
  launch<Weights::along>(call, operands, Plain{p.y, call.width});
}

}  // namespace switchyard::products::experts
