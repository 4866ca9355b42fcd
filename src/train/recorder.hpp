// What a run writes while it trains: rows and sampled tokens of its segment, the log, the held-out routing.
#pragma once
#include <memory>
#include <string>

#include "record/evaluation_file.hpp"
#include "record/run_file.hpp"
#include "record/token_file.hpp"
#include "train/communication_meter.hpp"
#include "train/evaluate.hpp"
#include "train/finite.hpp"
#include "train/forecast.hpp"
#include "train/machine.hpp"
#include "train/progress.hpp"
#include "train/step.hpp"

namespace switchyard::train {

/// What the records of a segment say of it.
struct SegmentStart {
  std::string folder;                 ///< of the segment
  std::string config;                 ///< YAML
  std::string provenance;             ///< JSON
  std::int64_t begins_after = 0;      ///< steps done before it
  ForecastWatch* forecast = nullptr;  ///< of the run, told of every step; null where nothing is predicted
};

/// Files of one segment. Rank 0 holds run.h5, evaluation.h5, log.txt and non_finite.json; every rank with tokens its
/// own token file.
class Recorder {
 public:
  Recorder(Machine& machine, const data::Corpus& corpus, const data::Batches& batches, const SegmentStart& start);
  /// One training step. Collects timings and traffic of all ranks: collective.
  void step(std::int64_t step, const StepResult& result);
  void evaluation(const Evaluation& evaluation);
  /// The log line and non_finite.json of a step that ended the run.
  void non_finite(const NonFiniteError& error);
  void sync();  ///< before a checkpoint
  void close();
  Progress& log() { return progress_; }

 private:
  void sample(std::int64_t step, const data::Batch& batch);
  std::vector<double> own_measures(const StepResult& result) const;
  record::StepRow make_row(std::int64_t step, const StepResult& result);
  record::TimelineRow make_timeline(std::int64_t step, const StepResult& result) const;
  Machine& machine_;
  bool root_;
  std::string folder_;
  ForecastWatch* forecast_;
  Progress progress_;
  CommunicationMeter meter_;
  std::unique_ptr<record::RunFile> rows_;
  std::unique_ptr<record::EvaluationFile> evaluations_;
  std::unique_ptr<record::TokenFile> tokens_;
};

}  // namespace switchyard::train
