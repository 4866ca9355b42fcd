// What was predicted of a run's steps (layout.machine), held against what they come to.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "comm/nodes.hpp"
#include "config/config.hpp"

namespace switchyard::train {

/// Of one step.
struct Forecast {
  std::string machine;        ///< the description that it was made with
  double step = 0.0;          ///< s
  double hidden_share = 1.0;  ///< η
  std::string why_not;        ///< why there is none; else empty
};

/// Of a resolved configuration on the ranks of these nodes; null where nothing is to be predicted. The trainer may not
/// know of `plan`, so whoever starts a run hands it in.
using Predict = std::function<Forecast(const Config& config, const comm::Nodes& nodes)>;

/// Seconds of one step: its length on the slowest rank, and means over the ranks.
struct MeasuredStep {
  double seconds = 0.0, busy = 0.0, exposed = 0.0;
};

/// Follows the steps of a run on rank 0.
class ForecastWatch {
 public:
  explicit ForecastWatch(Forecast forecast) : forecast_(std::move(forecast)) {}

  /// A line for the head of the log: what was predicted, or, where it is a warning, why nothing was.
  std::string line() const;
  bool predicts() const { return forecast_.why_not.empty(); }
  /// One step. A warning where those of the last 100 hide less of their communication than was predicted, after each
  /// such warning those of twice as many; else empty.
  std::string add(std::int64_t step, const MeasuredStep& measured);

  struct Verdict {
    std::string text;  ///< empty where nothing was predicted or measured
    bool short_of_it = false;
  };
  /// Of all steps but the first ones.
  Verdict verdict() const;

  /// η that is missing is worth a word beyond this: of the 220 steps of experiments/planning the one that falls
  /// shortest of its prediction lacks 0.23.
  static constexpr double tolerance = 0.25;
  static constexpr int first_steps = 3;  ///< which do not count: rows find the size of their memory

 private:
  struct Sums {
    std::int64_t first = 0, last = 0, steps = 0;
    double seconds = 0.0, busy = 0.0, exposed = 0.0;
    void add(std::int64_t step, const MeasuredStep& measured);
    double hidden_share() const;
  };
  bool falls_short(const Sums& sums) const;

  Forecast forecast_;
  std::int64_t seen_ = 0, window_ = 100;
  Sums all_, recent_;
};

}  // namespace switchyard::train
