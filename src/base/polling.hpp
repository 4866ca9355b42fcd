// What a thread asks for again and again while it computes. MPI moves nothing between calls, so rows travel beside the
// work only while somebody polls.
#pragma once
#include <cstddef>
#include <exception>
#include <functional>
#include <vector>

namespace switchyard {

/// Seconds between polls of which each takes `look` seconds: a hundredth of the time goes to them, but rows are not
/// looked after more often than every 5 us, which gains nothing, nor less often than every ms, which would stop them.
double measured_interval(double look);

/// How often to poll: every so many seconds, or, where that is measured, by what a poll takes. That is the time of one
/// that finds nothing new: what moves bytes would have to be done anyway, and would make a pace by its time slower and
/// slower, since the longer the interval, the more bytes wait for the next poll.
class Pace {
 public:
  /// Measured; until the first look `before_looks`.
  Pace() = default;
  static constexpr double before_looks = 50e-6;  ///< s
  /// Fixed: `interval` s; 0 at every tick.
  explicit Pace(double interval) : interval_(interval), fixed_(true) {}

  double interval() const { return interval_; }  ///< s
  bool fixed() const { return fixed_; }
  /// After a poll with something still under way: whether another one, to be timed, is due.
  bool wants_look() { return !fixed_ && polls_++ % polls_of_a_look == 0; }
  /// A look took so long. The median of the last ones counts, so that one that was interrupted does not.
  void looked(double seconds);

 private:
  static constexpr std::size_t looks_kept = 15, polls_of_a_look = 8;
  double interval_ = before_looks;
  bool fixed_ = false;
  std::size_t polls_ = 0, looks_ = 0;
  std::vector<double> seconds_;  ///< of the last looks_kept looks, in no order
};

/// What polls: whether something is under way still.
using Poller = std::function<bool()>;

/// While it lives, tick() in this thread calls `poll`, but not again before the interval of its pace has passed.
class Polling {
 public:
  /// `pace` learns from it, and outlives it.
  Polling(Poller poll, Pace& pace);
  /// At a fixed pace of its own: `interval` s.
  Polling(Poller poll, double interval);
  ~Polling();
  Polling(const Polling&) = delete;
  Polling& operator=(const Polling&) = delete;

  void tick();
  /// Polls now, and throws what a poll has thrown since the last call.
  void now();

 private:
  void poll();
  Poller poll_;
  Pace own_{0.0};
  Pace& pace_;
  double due_ = 0.0;
  bool polling_ = false;
  std::exception_ptr failure_;
  Polling* outer_;
};

/// Between two pieces of work, the shorter the better: nothing in a thread without a Polling, so kernels may call it
/// in any thread. Throws nothing.
void tick();

}  // namespace switchyard
