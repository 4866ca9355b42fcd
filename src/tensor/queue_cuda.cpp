// The queue of an NVIDIA GPU: a CUDA stream.
#include <cuda_runtime_api.h>

#include <string>
#include <vector>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/queue.hpp"

namespace switchyard {

void check_cuda(int code, const char* call) {
  const auto error = static_cast<cudaError_t>(code);
  check(error == cudaSuccess, error == cudaErrorMemoryAllocation ? Exit::memory : Exit::internal,
        std::string(call) + " failed (" + cudaGetErrorString(error) + ")");
}

struct Event::State {
  State() { check_cuda(cudaEventCreate(&event), "cudaEventCreate"); }
  State(const State&) = delete;
  ~State() { static_cast<void>(cudaEventDestroy(event)); }  // of a context that may be gone
  cudaEvent_t event = nullptr;
};

Event::Event() : state_(std::make_shared<State>()) {}

double seconds_between(const Event& from, const Event& to) {
  float milliseconds = 0.0f;
  check_cuda(cudaEventElapsedTime(&milliseconds, from.state_->event, to.state_->event), "cudaEventElapsedTime");
  return milliseconds * 1e-3;
}

namespace {

Device make_space(int number) {
  if (number == 0) return {};
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  return Device(stream, Kokkos::Impl::ManageStream::yes);
}

}  // namespace

Queue::Queue(int number) : space_(make_space(number)), workspace_(products::make_workspace(space_)) {}

/// The host has nothing else to do, so that rows on their way are looked after.
void Queue::fence(const char* label) const {
  while (cudaStreamQuery(space_.cuda_stream()) == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // that was no error
    tick();
  }
  space_.fence(label);
}

void Queue::record(const Event& event) const {
  check_cuda(cudaEventRecord(event.state_->event, space_.cuda_stream()), "cudaEventRecord");
}

double Queue::mark(const Event& event) const {
  record(event);
  fence("switchyard::queue::mark");
  return now();
}

void Queue::wait(const Event& event) const {
  check_cuda(cudaStreamWaitEvent(space_.cuda_stream(), event.state_->event, 0), "cudaStreamWaitEvent");
}

/// Work is numbered from 1; events are used again once all of it was joined.
struct Queue::Beside {
  /// The end of work `number`.
  Event& end(std::int64_t number) {
    const auto i = static_cast<std::size_t>(number - joined_all - 1);
    if (i >= ends.size()) ends.resize(i + 1);
    return ends[i];
  }
  Queue queue{1};
  Event begin;
  std::vector<Event> ends;
  std::int64_t asked = 0, joined = 0;  ///< work so far, and what the queue has waited for
  std::int64_t joined_all = 0;         ///< work before the last join()
  bool wanted = true;
};

void Queue::open_beside() { beside_ = std::make_shared<Beside>(); }

void Queue::go_beside(bool wanted) const {
  if (beside_) beside_->wanted = wanted;
}

bool Queue::goes_beside() const { return beside_ && beside_->wanted; }

const Queue& Queue::queue_beside() const { return beside_->queue; }

const Queue& Queue::begin_beside() const {
  record(beside_->begin);
  beside_->queue.wait(beside_->begin);
  return beside_->queue;
}

void Queue::end_beside(std::initializer_list<Lent*> lent) const {
  const std::int64_t number = ++beside_->asked;
  beside_->queue.record(beside_->end(number));
  for (Lent* memory : lent) memory->until = number;
}

void Queue::reclaim(const Lent& lent) const {
  if (!beside_ || lent.until <= beside_->joined) return;
  wait(beside_->end(lent.until));
  beside_->joined = lent.until;
}

void Queue::join() const {
  if (!beside_) return;
  reclaim({beside_->asked});
  beside_->joined_all = beside_->asked;
}

}  // namespace switchyard
