// One summed gradient a parameter, from the node sums that the ranks hold; and, where the update is shared out
// (ZeRO-1), the values that come of it on every rank.
#pragma once
#include "base/timers.hpp"
#include "comm/collectives.hpp"
#include "comm/groups.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::train {

/// Sums over the global batch, laid out like the parameter slabs; index: Placement. Views of ParameterSet's
/// gradient_sum once they are reduced, with shards of this rank's pieces only.
struct Gradients {
  Vector<float> slab[2];
  comm::SumMemory memory;    ///< of the sums over ranks, of one bucket after the other
  HostVector<float> staged;  ///< of `stage`
  /// Memory for n floats on their way to MPI and back, the same every time. Host builds need none.
  HostVector<float> stage(Index n);
};

/// Sums the gradients of all pieces of `blocks` (replicated over world, experts over the expert-data group) along the
/// tree of pieces, then adds parameters with `adds_to` into the gradient of the named one. With shards each element is
/// summed for its owner alone. Collective; overwrites the first node of `parameters`; bytes go to Phase::reduce of
/// `timers`.
void reduce_gradients(const Queue& queue, const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients,
                      const Range& blocks, Timers& timers);

/// Gives the values that their owners have updated to all ranks that hold them, and rounds the compute weights. For
/// parameters with shards. Collective; bytes go to Phase::reduce of `timers`: as many as sharing the gradients takes.
void gather_values(const Queue& queue, const comm::Groups& groups, const ParameterSet& parameters, Gradients& gradients,
                   Timers& timers);

}  // namespace switchyard::train
