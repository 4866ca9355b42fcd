// Stops a run before an update that would spread a value that is not finite, and says where it appeared first.
#pragma once
#include "train/machine.hpp"
#include "train/norm.hpp"

namespace switchyard::train {

/// Throws AgreedError{non_finite} with step, block and expert unless `loss` (the same on every rank) is finite.
/// Collective.
void require_finite_loss(const Machine& machine, double loss, std::int64_t step);

/// The same for the global gradient, naming the first parameter and expert in declaration order.
void require_finite_gradient(const Machine& machine, const NormResult& norm, std::int64_t step);

}  // namespace switchyard::train
