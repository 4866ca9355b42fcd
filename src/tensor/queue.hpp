// A queue: one in-order stream of the device, with the handles and the scratch of the libraries that work in it. The
// first argument of everything that launches. On a host what was asked for is done when the call returns.
#pragma once
#include <initializer_list>
#include <memory>

#include "base/polling.hpp"
#include "tensor/types.hpp"

namespace switchyard {

namespace products {
struct Workspace;  ///< what the products keep in a queue
std::shared_ptr<Workspace> make_workspace(const Device& space);
}  // namespace products

/// A moment in a queue: reached once everything is done that was asked of the queue before. May be recorded again.
class Event {
 public:
  Event();

 private:
  friend class Queue;
  friend double seconds_between(const Event& from, const Event& to);
  struct State;  // queue_host.cpp or queue_cuda.cpp
  std::shared_ptr<State> state_;
};

/// s between two moments of queues of one device that have been reached.
double seconds_between(const Event& from, const Event& to);

/// Memory that work beside a queue reads or writes: whoever changes it reclaims it first.
struct Lent {
  std::int64_t until = 0;  ///< the last such work, numbered from 1
};

class Queue {
 public:
  /// Number 0 is the stream that Kokkos itself works in; every other number is a stream of its own.
  explicit Queue(int number = 0);
  /// From here on a device has a second stream for what is done beside this one.
  void open_beside();
  /// What nothing that follows waits for, such as the gradients of weights: work(queue) asks it of a queue that goes on
  /// beside this one, after what was asked of this one so far and after what was done beside it before. Without such a
  /// queue it is done in this one.
  template <class Work>
  void beside(std::initializer_list<Lent*> lent, const Work& work) const {
    if (!goes_beside()) return work(*this);
    work(begin_beside());
    end_beside(lent);
  }
  /// The same, but not after what was asked of this one so far.
  template <class Work>
  void meanwhile(const Work& work) const {
    if (!goes_beside()) return work(*this);
    work(queue_beside());
    end_beside({});
  }
  /// Whether anything is done beside: as it was asked for last.
  void go_beside(bool wanted) const;
  /// What is asked for from here on begins after the work that this was lent to; after all work beside.
  void reclaim(const Lent& lent) const;
  void join() const;
  const Device& space() const { return space_; }
  /// n iterations in this queue. What is asked for between two kernels (base/polling.hpp) is done now.
  Kokkos::RangePolicy<Device> range(Index n) const {
    tick();
    return {space_, 0, n};
  }
  /// Waits until all is done that was asked for: only where the host reads what a kernel wrote.
  void fence(const char* label) const;
  void record(const Event& event) const;
  /// The same, waited for; when it was, s of now() (base/clock.hpp).
  double mark(const Event& event) const;
  /// What is asked for from here on begins after the event.
  void wait(const Event& event) const;
  products::Workspace& workspace() const { return *workspace_; }

 private:
  struct Beside;  // queue_host.cpp or queue_cuda.cpp
  bool goes_beside() const;
  const Queue& queue_beside() const;
  const Queue& begin_beside() const;
  void end_beside(std::initializer_list<Lent*> lent) const;

  Device space_;
  std::shared_ptr<products::Workspace> workspace_;
  std::shared_ptr<Beside> beside_;  ///< null: there is none
};

/// to = value, in the queue.
template <class V>
void fill(const Queue& queue, const V& to, typename V::const_value_type& value) {
  Kokkos::deep_copy(queue.space(), to, value);
}

/// Elements of contiguous views between host and device, in the queue. The host's must live until the queue is through
/// with them.
template <class To, class From>
void copy(const Queue& queue, const To& to, const From& from) {
  Kokkos::deep_copy(queue.space(), to, from);
}

}  // namespace switchyard
