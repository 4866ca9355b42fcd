// The global gradient norm, with the same bits on every layout, and where a gradient is not finite.
#pragma once
#include <string>

#include "tensor/room.hpp"
#include "train/reduce.hpp"

namespace switchyard::train {

struct NormResult {
  double norm = 0.0;  ///< L2 over all parameters; not finite if any element is not
  /// Where the backward pass first met a value that is not finite: the last parameter declared with such an element,
  /// since from there on every earlier one has it; "" for none.
  std::string first_parameter;
  int first_expert = -1;  ///< and its first such expert; −1 for a replicated parameter
};

/// In double: squares are summed over fixed blocks of 4096 elements of each unit (a replicated tensor, or one expert's
/// part of a tensor), blocks in order, then units by (parameter, expert). The same on every rank. With shards each
/// block is summed by its owner, who gives its sum to the others. `memory` grows to what the sums of the blocks take.
/// Collective.
NormResult gradient_norm(const Queue& queue, const comm::Groups& groups, const ParameterSet& parameters,
                         const Gradients& gradients, Staged<double>& memory);

}  // namespace switchyard::train
