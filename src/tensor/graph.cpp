#include "tensor/graph.hpp"

namespace switchyard {

std::uint64_t& memory_generation() {
  static std::uint64_t generation = 0;
  return generation;
}

}  // namespace switchyard
