#include "base/progress.hpp"

#include <utility>

#include "base/clock.hpp"

namespace switchyard {
namespace {

thread_local Progress* current = nullptr;

}  // namespace

Progress::Progress(std::function<void()> poll, double interval)
    : poll_(std::move(poll)), interval_(interval), outer_(std::exchange(current, this)) {}

Progress::~Progress() { current = outer_; }

void Progress::tick() {
  if (polling_ || switchyard::now() < due_) return;
  poll();
}

void Progress::now() {
  poll();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

/// A kernel cannot throw, so what is thrown waits for now().
void Progress::poll() {
  polling_ = true;
  try {
    poll_();
  } catch (...) {
    failure_ = std::current_exception();
  }
  polling_ = false;
  due_ = switchyard::now() + interval_;
}

void tick() {
  if (current) current->tick();
}

}  // namespace switchyard
