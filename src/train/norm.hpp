// The global gradient norm, with the same bits on every layout, and where a gradient is not finite.
#pragma once
#include <string>

#include "tensor/room.hpp"
#include "train/reduce.hpp"
#include "train/update_blocks.hpp"

namespace switchyard::train {

struct NormResult {
  double norm = 0.0;  ///< L2 over all parameters that are updated; not finite if any element is not
  /// Where the backward pass first met a value that is not finite: the last parameter declared with such an element,
  /// since from there on every earlier one has it; "" for none.
  std::string first_parameter;
  int first_expert = -1;  ///< and its first such expert; −1 for a replicated parameter
};

/// What an update goes by where it runs on a device without the host.
struct NormState {
  double total;         ///< Σ x² over all parameters
  float clip;           ///< factor on every gradient
  std::int32_t finite;  ///< whether all of them are: or nothing is updated
};

/// Memory of a gradient norm, made at its first use.
struct NormMemory {
  Staged<double> sums;  ///< of blocks; after them of units, where a device sums these
  // Devices only, in their memory.
  Vector<UpdateBlock> blocks;
  Vector<UnitBlocks> units;
  Vector<NormState> state;         ///< (1)
  StagingVector<NormState> read;   ///< (1) that, where the host can read it
  Vector<std::uint32_t> finished;  ///< (1) blocks of a launch that are through
};

/// Whether nothing that the norm is made of is on another rank, so that a device needs no host for it.
bool norm_on_device(const comm::Groups& groups, const ParameterSet& parameters);

/// There: asks for the norm, and for the factor that keeps it at most `clip` (0: none). The queue leaves them in
/// memory.state and memory.read.
void begin_norm(const Queue& queue, const ParameterSet& parameters, const Gradients& gradients, double clip,
                NormMemory& memory);

/// What begin_norm asked for, once the queue is through.
NormResult finish_norm(const Queue& queue, const ParameterSet& parameters, NormMemory& memory);

/// In double: squares are summed over fixed blocks of 4096 elements of each unit (a replicated tensor, or one expert's
/// part of a tensor), blocks in order, then units by (parameter, expert). The same on every rank. With shards each
/// block is summed by its owner, who gives its sum to the others. Collective.
NormResult gradient_norm(const Queue& queue, const comm::Groups& groups, const ParameterSet& parameters,
                         const Gradients& gradients, NormMemory& memory);

}  // namespace switchyard::train
