#include "base/polling.hpp"

#include <utility>

#include "base/clock.hpp"

namespace switchyard {
namespace {

thread_local Polling* current = nullptr;

}  // namespace

Polling::Polling(std::function<void()> poll, double interval)
    : poll_(std::move(poll)), interval_(interval), outer_(std::exchange(current, this)) {}

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
