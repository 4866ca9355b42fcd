// A host has no graphs.
#include "base/check.hpp"
#include "tensor/graph.hpp"

namespace switchyard {

struct Graph::State {};

bool Graph::available() { return false; }
Graph::Graph() = default;
void Graph::capture(const Queue& /*queue*/, const std::function<void()>& /*work*/) {
  expect(false, "a build with graphs");
}
bool Graph::ready() const { return false; }
void Graph::launch(const Queue& /*queue*/) const { expect(false, "a build with graphs"); }
int Graph::nodes() const { return 0; }

}  // namespace switchyard
