// How long rows are on their way between ranks: the median of many hops, and their tail, which is what users of large
// networks see. Free of Kokkos and MPI.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "schedule/hops.hpp"

namespace switchyard::train {

/// Many durations in little memory: a count for each of 64 equal ratios in an octave, from 1 ns to 18 minutes.
class Histogram {
 public:
  void add(double seconds);
  std::int64_t count() const { return count_; }
  /// Within 1 % of the one of number min(floor(share · count), count − 1) in ascending order; 0 where there is none.
  double quantile(double share) const;

 private:
  static constexpr int octave = 64;
  std::array<std::int64_t, 40 * octave> bins_{};
  std::int64_t count_ = 0;
};

/// s; zeros where there were no hops.
struct HopTail {
  double p50 = 0.0, p99 = 0.0, max = 0.0;
};

/// Of the times themselves, in any order; exact, elements as those of Histogram::quantile.
HopTail tail_of(std::vector<double> seconds);

/// Those of all ranks since the last line of the log.
class HopTimes {
 public:
  explicit HopTimes(const std::vector<schedule::Task>& tasks, std::vector<schedule::TaskHop> hops)
      : tasks_(tasks), hops_(std::move(hops)) {}
  /// `seconds` of a step, (ranks, hops); 0 where nothing went between ranks. Returns the step's own tail.
  HopTail add(std::int64_t step, const std::vector<double>& seconds);
  /// " hop_p50_ms=0.081 hop_p99_ms=0.32 hop_max_ms=4.1"; nothing where there were none.
  std::string tail() const;
  /// Of the hop that took the most times the median of its kind, where that is more than ten: when, where and how
  /// long; else nothing.
  std::string outlier() const;
  void clear() { all_ = {}, kinds_ = {}; }

 private:
  struct Longest {
    double seconds = 0.0;
    std::int64_t step = 0;
    std::size_t rank = 0, hop = 0;
  };
  std::vector<schedule::Task> tasks_;
  std::vector<schedule::TaskHop> hops_;
  struct OfKind {
    Histogram times;
    Longest longest;
    double excess() const { return times.count() > 0 ? longest.seconds / times.quantile(0.5) : 0.0; }
  };
  Histogram all_;
  std::array<OfKind, static_cast<std::size_t>(schedule::HopKind::count)> kinds_;
};

}  // namespace switchyard::train
