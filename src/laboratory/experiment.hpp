// One known-answer experiment: the laboratory model trained on generated tokens, beside what it must reach.
#pragma once
#include <cstdint>
#include <string>

#include "laboratory/experts.hpp"
#include "laboratory/router.hpp"

namespace switchyard::laboratory {

/// Who sends a sample to an expert: oracle (ideal_assignment), hash (the assignment that the generator's seed draws) or
/// learned (LearnedRouter, by the task's cue). Experts see the key only.
///
/// A learned router learns in the first half of the samples; then the assignment stands and gates are 1, so that the
/// tables learn what they are judged by. Tables whose tasks move late keep answers of tasks that have left.
struct ExperimentOptions {
  std::string folder;  ///< of generated tokens
  std::string router = "oracle";
  std::int64_t samples = 0;  ///< of the folder's, in their order; 0 takes all
  ModelOptions model = {};
  RouterOptions learned = {};
};

/// Losses in nat a sample, exact over tasks, keys and levels: trained − ideal = (assignment − ideal) + (trained −
/// assignment), what routing loses and what is not learned yet.
struct Outcome {
  std::int64_t samples;
  double ideal, assignment, trained;
  double max_vio;  ///< of the assignment, exact over tasks
};

/// Throws Error{usage} for a number of experts that the folder's tasks or facts cannot have.
void require_experts(const std::string& folder, int experts);

/// Throws Error{usage} for a router, balance or model that is not known or a folder with fewer samples.
Outcome run_experiment(const ExperimentOptions& options, int experts);

}  // namespace switchyard::laboratory
