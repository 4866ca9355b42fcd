// Held-out loss and the routing of held-out tokens: the same tokens every time, dropless, without noise.
#pragma once
#include "data/batch.hpp"
#include "record/evaluation_file.hpp"
#include "record/run_file.hpp"
#include "train/machine.hpp"

namespace switchyard::train {

struct Evaluation {
  record::EvaluationRow row;
  record::EvaluationRouting routing;  ///< as the losses of the row's parts: on rank 0 only
};

/// Collective over world. Changes no parameter, no balancer state and no training statistics (contract C2).
Evaluation evaluate(Machine& machine, const data::Corpus& corpus, const data::Batches& batches, std::int64_t step);

/// The held-out tokens that every evaluation records.
record::EvaluationTokens evaluation_tokens(const data::Corpus& corpus, const data::Batches& batches,
                                           const Config& config);

}  // namespace switchyard::train
