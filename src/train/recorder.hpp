// What a run writes while it trains: rows and sampled tokens of its segment, the log, the held-out routing.
#pragma once
#include <memory>
#include <string>

#include "record/evaluation_file.hpp"
#include "record/run_file.hpp"
#include "record/token_file.hpp"
#include "train/machine.hpp"
#include "train/progress.hpp"
#include "train/step.hpp"

namespace switchyard::train {

/// Files of one segment. Rank 0 holds run.h5, evaluation.h5 and log.txt; every rank with tokens its own token file.
class Recorder {
 public:
  /// `folder`: the segment's; `config_text` and `provenance` go into the records.
  Recorder(Machine& machine, const data::Corpus& corpus, const std::string& folder, const std::string& config_text,
           const std::string& provenance);
  /// One training step; `wall_seconds` of this rank. Reduces timings and traffic: collective.
  void step(std::int64_t step, const StepResult& result, const data::Batch& batch, double wall_seconds);
  void evaluation(const record::EvaluationRow& row, record::EvaluationSamples samples);
  void close();
  Progress& log() { return progress_; }

 private:
  bool samples_at(std::int64_t step) const;
  void sample(std::int64_t step, const data::Batch& batch);
  Machine& machine_;
  bool root_;
  Progress progress_;
  std::unique_ptr<record::RunFile> rows_;
  std::unique_ptr<record::EvaluationFile> evaluations_;
  std::unique_ptr<record::TokenFile> tokens_;
};

}  // namespace switchyard::train
