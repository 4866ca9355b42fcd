// One rank goes through the list of tasks of a step, on paper: it computes, polls what travels, waits. No MPI, no
// Kokkos.
#pragma once
#include <deque>
#include <vector>

#include "schedule/hops.hpp"

namespace switchyard::plan {

/// What the simulation knows of the ways that rows take.
struct WaySpeed {
  double latency = 0.0;          ///< s until the last byte of a journey is there, beside its own time
  double bytes_per_s = 0.0;      ///< while the rank waits
  double while_computing = 0.0;  ///< bytes/s as far as polls keep it busy
  double buffer = 0.0;           ///< bytes that a small message waits behind
};

/// Seconds of a step of one rank.
struct Seconds {
  double step = 0.0;
  double computing = 0.0;  ///< slowed by polls as it is
  double busy = 0.0;       ///< something travelled, or ranks met
  double exposed = 0.0;    ///< and the rank did nothing else
  double hidden_share() const { return schedule::hidden_share(busy, exposed); }
};

/// All ranks do the same at the same time, as even routing makes them, so that one stands for them. Ways are used in
/// the order in which rows leave, one journey after another; both directions at once.
class Simulation {
 public:
  /// Speeds of the ways near and far; computing takes 1 + `slowing` times as long while something travels.
  Simulation(const WaySpeed& near, const WaySpeed& far, double slowing);

  void compute(double seconds);
  /// Bytes begin to travel, on both ways at once; returns their number.
  int start(double near_bytes, double far_bytes);
  void wait(int journey);
  /// All ranks meet for `latency`, and wait behind what lies in buffers already.
  void meet(double latency);
  const Seconds& seconds() const { return all_; }
  bool anything_travels() const { return !under_way_.empty(); }

 private:
  struct Journey {
    double left[2];      ///< bytes still to go
    double there = 0.0;  ///< when the last byte arrives; meaningful once both are 0
  };
  double next_event(bool computing) const;
  void travel(double seconds, bool computing);
  void pass(double seconds, bool computing);
  bool done(const Journey& journey) const;
  double rate(int way, bool computing) const;

  WaySpeed ways_[2];
  double slowing_;
  Seconds all_;
  std::vector<Journey> journeys_;
  std::vector<int> under_way_;  ///< those that are not over
  std::deque<int> queues_[2];
};

}  // namespace switchyard::plan
