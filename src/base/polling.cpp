#include "base/polling.hpp"

#include <algorithm>
#include <utility>

#include "base/clock.hpp"
#include "base/median.hpp"

namespace switchyard {
namespace {

constexpr double looks_of_an_interval = 100.0, least_interval = 5e-6, most_interval = 1e-3;  // s

thread_local Polling* current = nullptr;

}  // namespace

double measured_interval(double look) { return std::clamp(looks_of_an_interval * look, least_interval, most_interval); }

void Pace::looked(double seconds) {
  if (fixed_) return;
  if (seconds_.size() < looks_kept)
    seconds_.push_back(seconds);
  else
    seconds_[looks_ % looks_kept] = seconds;
  ++looks_;
  interval_ = measured_interval(median_of(seconds_));
}

Polling::Polling(Poller poll, Pace& pace) : poll_(std::move(poll)), pace_(pace), outer_(std::exchange(current, this)) {}

Polling::Polling(Poller poll, double interval)
    : poll_(std::move(poll)), own_(interval), pace_(own_), outer_(std::exchange(current, this)) {}

Polling::~Polling() { current = outer_; }

void Polling::tick() {
  if (polling_ || switchyard::now() < due_) return;
  poll();
}

void Polling::now() {
  poll();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

/// A kernel cannot throw, so what is thrown waits for now().
void Polling::poll() {
  polling_ = true;
  try {
    if (poll_() && pace_.wants_look()) {
      const double start = switchyard::now();
      poll_();
      pace_.looked(switchyard::now() - start);
    }
  } catch (...) {
    failure_ = std::current_exception();
  }
  polling_ = false;
  due_ = switchyard::now() + pace_.interval();
}

void tick() {
  if (current) current->tick();
}

}  // namespace switchyard
