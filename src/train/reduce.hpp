// One summed gradient a parameter, from the node sums that the ranks hold; and, where the update is shared out
// (ZeRO-1), the values that come of it on every rank.
#pragma once
#include <deque>
#include <vector>

#include "base/timers.hpp"
#include "comm/groups.hpp"
#include "comm/tree_sum.hpp"
#include "moe/link.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::train {

/// The gradients of a bucket on their way to their sums.
struct BucketSums {
  Range blocks;
  std::deque<comm::TreeSum> sums;  ///< of the parts of its slabs, one after another
  moe::Hop hop;                    ///< all zero where nothing travels
  struct Staged {
    Vector<float> to;
    HostVector<float> from;
  };
  std::vector<Staged> staged;  ///< sums that MPI has in memory of its own; none on host builds
  bool poll();
  void wait();
};

/// Sums over the global batch, laid out like the parameter slabs; index: Placement. Views of ParameterSet's
/// gradient_sum once they are reduced, with shards of this rank's pieces only.
struct Gradients {
  Vector<float> slab[2];
  comm::SumMemory memory;            ///< of the sums over ranks, of one part after the other
  HostVector<float> staged;          ///< of `stage`
  std::deque<BucketSums> under_way;  ///< in the order in which they began
  std::vector<moe::Hop> hops;        ///< of those that are through, since somebody cleared it
  /// Memory for n floats on their way to MPI and back, the same every time. Host builds need none.
  HostVector<float> stage(Index n);
  /// Lets the buckets make progress that are under way: all that MPI and the host have to do for their sums. Whether
  /// one still is.
  bool poll();
};

/// Whether anything of it is sent or staged: not where the gradients of one rank are one node.
bool reduction_travels(const comm::Groups& groups, const ParameterSet& parameters);

/// The gradients of all pieces of `blocks` (replicated over world, experts over the expert-data group) leave for their
/// sums along the tree of pieces; with shards each element is summed for its owner alone. Collective, in the same order
/// on all ranks; nothing may write to them, or read them, before finish_reductions. On a device, whose gradients are
/// staged through the host, it first waits for those under way, so that one bucket at a time is. Bytes of the whole way
/// go to Phase::reduce of `timers`.
void begin_reduction(const Queue& queue, const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients,
                     const Range& blocks, Timers& timers);

/// Waits for all that have begun, then adds parameters with `adds_to` into the gradient of the named one. The sums are
/// in the first node of `parameters`.
void finish_reductions(const Queue& queue, const ParameterSet& parameters, Gradients& gradients);

/// One after the other.
void reduce_gradients(const Queue& queue, const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients,
                      const Range& blocks, Timers& timers);

/// Gives the values that their owners have updated to all ranks that hold them, and rounds the compute weights. For
/// parameters with shards. Collective; bytes go to Phase::reduce of `timers`: as many as sharing the gradients takes.
void gather_values(const Queue& queue, const comm::Groups& groups, const ParameterSet& parameters, Gradients& gradients,
                   Timers& timers);

}  // namespace switchyard::train
