// Stops a run before an update that would spread a value that is not finite, and says where it appeared first.
#pragma once
#include "base/check.hpp"
#include "record/non_finite.hpp"
#include "train/machine.hpp"
#include "train/norm.hpp"

namespace switchyard::train {

/// Exit::non_finite with what the run's record says of it.
class NonFiniteError : public AgreedError {
 public:
  explicit NonFiniteError(record::NonFinite found);
  const record::NonFinite& found() const { return found_; }

 private:
  record::NonFinite found_;
};

/// Throws NonFiniteError unless `loss` (the same on every rank) is finite. Of the places where ranks find a value that
/// is not finite, the one in the lowest block counts, and there the lowest expert that made it from a finite one.
/// Collective.
void require_finite_loss(const Machine& machine, double loss, std::int64_t step);

/// The same for the global gradient, naming the parameter where the backward pass first was not finite.
void require_finite_gradient(const Machine& machine, const NormResult& norm, std::int64_t step);

}  // namespace switchyard::train
