// What a person sees of a run: a progress line on a terminal, whole key=value lines in a batch log and in the run
// folder. Free of Kokkos: nvcc does not read spdlog.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "config/config.hpp"
#include "train/hop_times.hpp"

namespace spdlog {
class logger;
}

namespace switchyard::train {

/// What a person reads of one step.
struct StepLine {
  std::int64_t step = 0;
  double loss = 0.0;  ///< total, nat per token
  double learning_rate = 0.0;
  double gradient_norm = 0.0;
  double wall_seconds = 0.0;
  double max_vio = 0.0;  ///< largest over the layers
};

/// Rank 0's log. On ranks above 0 nothing is written.
class Progress {
 public:
  /// `file`: log.txt of the segment; lines are appended and flushed one by one.
  Progress(const std::string& file, const Config& config, bool root);
  ~Progress();
  void line(const std::string& text);
  void warn(const std::string& text);
  /// One step: the terminal's line always, a log line every record.log_every steps and at least once a minute. A log
  /// line has the tail of `hops`, which are those since the last one and are forgotten, and one that stands out a line
  /// of its own.
  void step(const StepLine& row, HopTimes* hops = nullptr);
  void evaluation(std::int64_t step, double loss, double bits_per_byte);

 private:
  void write(const std::string& text);
  bool due(std::int64_t step);
  double seconds_left(std::int64_t step) const;
  void watch_output();                              ///< says once in the file that standard output is lost
  std::shared_ptr<spdlog::logger> log_, file_log_;  // the second of lines that are not for standard output
  Config config_;
  bool root_;
  bool terminal_, output_lost_ = false;
  std::chrono::steady_clock::time_point start_, last_line_;
  std::int64_t first_step_ = -1;
};

/// "1h02m", "3m20s", "12s".
std::string duration(double seconds);
/// "105.2 ms", "2.518 ms".
std::string milliseconds(double seconds);

}  // namespace switchyard::train
