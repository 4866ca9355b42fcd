// One summed gradient a parameter, from the node sums that the ranks hold.
#pragma once
#include "base/timers.hpp"
#include "comm/collectives.hpp"
#include "comm/groups.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::train {

/// Sums over the global batch, laid out like the parameter slabs; index: Placement. Views of ParameterSet's
/// gradient_sum once they are reduced.
struct Gradients {
  Vector<float> slab[2];
  comm::SumMemory memory;    ///< of the sums over ranks, of one bucket after the other
  HostVector<float> staged;  ///< nodes of a bucket on their way to MPI and back; nothing on host builds
  const float* of(const Parameter& p) const { return slab[static_cast<int>(p.placement)].data() + p.offset; }
};

/// Sums the gradients of all pieces of `blocks` (replicated over world, experts over the expert-data group) along the
/// tree of pieces, then adds parameters with `adds_to` into the gradient of the named one. Collective; overwrites the
/// first node of `parameters`; bytes go to Phase::reduce of `timers`.
void reduce_gradients(const Queue& queue, const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients,
                      const Range& blocks, Timers& timers);

}  // namespace switchyard::train
