// The parts of the objective. Free of Kokkos: records hold them too.
#pragma once

namespace switchyard::model {

/// Loss of a pass, means over the tokens of the global batch, the same on every rank and layout.
struct LossParts {
  double cross_entropy = 0.0;  ///< nat per token
  double head_z = 0.0;         ///< coefficient included
  double aux = 0.0;            ///< Switch losses, summed over layers, coefficient included
  double importance = 0.0;
  double router_z = 0.0;
  double total() const { return cross_entropy + head_z + aux + importance + router_z; }
};

}  // namespace switchyard::model
