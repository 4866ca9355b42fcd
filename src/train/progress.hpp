// What a person sees of a run: a progress line on a terminal, whole key=value lines in a batch log and in the run
// folder.
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "config/config.hpp"
#include "record/run_file.hpp"

namespace spdlog {
class logger;
}

namespace switchyard::train {

/// Rank 0's log. On ranks above 0 nothing is written.
class Progress {
 public:
  /// `file`: log.txt of the segment; lines are appended and flushed one by one.
  Progress(const std::string& file, const Config& config, bool root);
  ~Progress();
  void line(const std::string& text);
  void warn(const std::string& text);
  /// One step: the terminal's line always, a log line every record.log_every steps and at least once a minute.
  void step(const record::StepRow& row);
  void evaluation(const record::EvaluationRow& row);

 private:
  bool due(std::int64_t step);
  double seconds_left(std::int64_t step) const;
  std::shared_ptr<spdlog::logger> log_;
  Config config_;
  bool root_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_, last_line_;
  std::int64_t first_step_ = -1;
};

/// Largest MaxVio over the layers of a step.
double worst_max_vio(const record::StepRow& row);

/// "1h02m", "3m20s", "12s".
std::string duration(double seconds);

}  // namespace switchyard::train
