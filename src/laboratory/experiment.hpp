// One known-answer experiment: the laboratory model trained on generated tokens, beside what it must reach.
#pragma once
#include <cstdint>
#include <string>

#include "laboratory/tree_tasks.hpp"

namespace switchyard::laboratory {

/// Who sends a sample to an expert: oracle (ideal_assignment) or hash (the assignment that the generator's seed draws).
/// Experts see the key only.
struct ExperimentOptions {
  std::string folder;  ///< of generated tokens
  std::string router = "oracle";
  std::int64_t samples = 0;  ///< of the folder's, in their order; 0 takes all
  double rate = 0.5;         ///< of Adagrad
};

/// Losses in nat a sample, exact over tasks, keys and levels: trained − ideal = (assignment − ideal) + (trained −
/// assignment), what routing loses and what is not learned yet.
struct Outcome {
  std::int64_t samples;
  double ideal, assignment, trained;
};

/// Throws Error{usage} for a router that is not known or a folder with fewer samples.
Outcome run_experiment(const ExperimentOptions& options, int experts);

}  // namespace switchyard::laboratory
