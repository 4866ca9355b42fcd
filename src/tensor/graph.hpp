// Work of a queue that is asked for once and done many times: graph_cuda.cpp or graph_host.cpp behind one header.
#pragma once
#include <functional>
#include <memory>

#include "tensor/queue.hpp"

namespace switchyard {

/// How often memory of rooms and of products has been made anew: what was captured before has the old addresses.
std::uint64_t& memory_generation();

/// A CUDA graph. Kernels keep their arguments, so what differs from step to step must be in memory of the device.
class Graph {
 public:
  /// Whether this build has graphs.
  static bool available();
  Graph();
  /// Keeps what `work` asks of the queue, in place of what was kept; nothing of it is done. `work` must neither wait
  /// for the queue nor make memory. Throws what it throws.
  void capture(const Queue& queue, const std::function<void()>& work);
  /// Whether something is kept, and its memory is where it was.
  bool ready() const;
  /// Asks for all of it.
  void launch(const Queue& queue) const;
  /// Kernels and copies in it.
  int nodes() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace switchyard
