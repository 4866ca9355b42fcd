// A machine of round numbers.
#pragma once
#include <string>

#include "plan/machine_description.hpp"

namespace switchyard::plan {

/// 10 GFLOP/s whatever the shape, a nanosecond an element, 1 GB/s near and 0.1 GB/s far, nothing for a poll.
inline MachineDescription round_machine() {
  MachineDescription m;
  using std::string;  // GCC 12 sees overflows in assignments of literals that are not there
  m.commit = string("c"), m.host = string("h"), m.date = string("d"), m.products_by = string("p");
  m.reference = string("r");
  m.ranks = 4, m.nodes = 2, m.memory = 1e9;
  m.products.rows = {1}, m.products.inner = {1}, m.products.columns = {1};
  for (auto& grid : m.products.gflops) grid = {10.0};
  for (const schedule::Stage stage : timed_stages()) m.stages[static_cast<std::size_t>(stage)] = {1e-9, 2e-9};
  m.near = Way{false, 1e-6, 1e9, 4e-6, 65536.0, 0.0};
  m.far = Way{false, 1e-5, 1e8, 4e-5, 65536.0, 0.0};
  return m;
}

}  // namespace switchyard::plan
