#include "comm/groups.hpp"

#include <string>

#include "base/check.hpp"

namespace switchyard::comm {
namespace {

int degree_of(const Communicator& world, int expert_parallel) {
  const int degree = expert_parallel ? expert_parallel : world.size();
  check(degree > 0 && world.size() % degree == 0, Exit::usage,
        "layout.expert_parallel is " + std::to_string(degree) + " (it does not divide the " +
            std::to_string(world.size()) + " ranks of the run); choose a divisor, or 0 for all ranks");
  return degree;
}

}  // namespace

Groups::Groups(Communicator all, int expert_parallel, int grains, Determinism determinism, int lanes)
    : world(std::move(all)),
      layout{world.size(), world.rank(), degree_of(world, expert_parallel), grains, determinism, lanes},
      expert(world.split(layout.group(), layout.place())),
      expert_data(world.split(layout.place(), layout.group())) {}

}  // namespace switchyard::comm
