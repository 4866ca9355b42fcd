// What a thread asks for again and again while it computes. MPI moves nothing between calls, so rows travel beside the
// work only while somebody polls.
#pragma once
#include <exception>
#include <functional>

namespace switchyard {

/// While it lives, tick() in this thread calls `poll`, but not again before `interval` seconds have passed.
class Polling {
 public:
  Polling(std::function<void()> poll, double interval);
  ~Polling();
  Polling(const Polling&) = delete;
  Polling& operator=(const Polling&) = delete;

  void tick();
  /// Polls now, and throws what a poll has thrown since the last call.
  void now();

 private:
  void poll();
  std::function<void()> poll_;
  double interval_, due_ = 0.0;
  bool polling_ = false;
  std::exception_ptr failure_;
  Polling* outer_;
};

/// Between two pieces of work, the shorter the better: nothing in a thread without a Polling, so kernels may call it
/// in any thread. Throws nothing.
void tick();

}  // namespace switchyard
