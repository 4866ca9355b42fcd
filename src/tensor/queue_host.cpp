// The queue of a host: everything is done when it was asked for, so an event is the time of day.
#include "base/clock.hpp"
#include "tensor/queue.hpp"

namespace switchyard {

struct Event::State {
  double at = 0.0;
};

Event::Event() : state_(std::make_shared<State>()) {}

double seconds_between(const Event& from, const Event& to) { return to.state_->at - from.state_->at; }

Queue::Queue(int /*number*/) : workspace_(products::make_workspace(space_)) {}

void Queue::fence(const char* label) const { space_.fence(label); }

void Queue::record(const Event& event) const { event.state_->at = now(); }

double Queue::mark(const Event& event) const {
  record(event);
  return event.state_->at;
}

void Queue::wait(const Event& /*event*/) const {}

struct Queue::Beside {};

void Queue::open_beside() {}
void Queue::go_beside(bool /*wanted*/) const {}
bool Queue::goes_beside() const { return false; }
const Queue& Queue::queue_beside() const { return *this; }
const Queue& Queue::begin_beside() const { return *this; }
void Queue::end_beside(std::initializer_list<Lent*> /*lent*/) const {}
void Queue::reclaim(const Lent& /*lent*/) const {}
void Queue::join() const {}

}  // namespace switchyard
