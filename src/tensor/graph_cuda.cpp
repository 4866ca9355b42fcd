// CUDA graphs of one stream.
#include <cuda_runtime_api.h>

#include <utility>

#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/graph.hpp"

namespace switchyard {

struct Graph::State {
  State() = default;
  State(const State&) = delete;
  ~State() {  // of a context that may be gone
    if (executable) static_cast<void>(cudaGraphExecDestroy(executable));
    if (graph) static_cast<void>(cudaGraphDestroy(graph));
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  std::uint64_t generation = 0;
  std::size_t nodes = 0;
};

namespace {

/// Ends a capture that an exception leaves, so that the stream can be used again.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  }
  Capture(const Capture&) = delete;
  ~Capture() {
    if (!stream_) return;
    cudaGraph_t left = nullptr;
    static_cast<void>(cudaStreamEndCapture(stream_, &left));
    if (left) static_cast<void>(cudaGraphDestroy(left));
    static_cast<void>(cudaGetLastError());
  }
  cudaGraph_t end() {
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamEndCapture(std::exchange(stream_, nullptr), &graph), "cudaStreamEndCapture");
    return graph;
  }

 private:
  cudaStream_t stream_;
};

}  // namespace

bool Graph::available() { return true; }
Graph::Graph() = default;

void Graph::capture(const Queue& queue, const std::function<void()>& work) {
  state_ = nullptr;
  const auto state = std::make_shared<State>();
  Capture capture(queue.space().cuda_stream());
  state->generation = memory_generation();
  work();
  state->graph = capture.end();
  expect(state->generation == memory_generation(), "no memory made while a graph is captured");
  check_cuda(cudaGraphGetNodes(state->graph, nullptr, &state->nodes), "cudaGraphGetNodes");
  check_cuda(cudaGraphInstantiate(&state->executable, state->graph, 0), "cudaGraphInstantiate");
  state_ = state;
}

bool Graph::ready() const { return state_ && state_->generation == memory_generation(); }

void Graph::launch(const Queue& queue) const {
  expect(ready(), "what was captured");
  check_cuda(cudaGraphLaunch(state_->executable, queue.space().cuda_stream()), "cudaGraphLaunch");
}

int Graph::nodes() const { return state_ ? static_cast<int>(state_->nodes) : 0; }

}  // namespace switchyard
