// A scoped region: a Kokkos label and a timer in one object.
#pragma once
#include <Kokkos_Core.hpp>
#include <chrono>

#include "base/timers.hpp"

namespace switchyard {

class Region {
 public:
  Region(Timers& timers, Phase phase) : timers_(timers), phase_(static_cast<int>(phase)), start_(Clock::now()) {
    Kokkos::Profiling::pushRegion("switchyard::" + phase_names()[phase_]);
  }
  Region(const Region&) = delete;
  ~Region() {
    Kokkos::fence("switchyard::region::end");  // so that a device's time falls into its own phase
    Kokkos::Profiling::popRegion();
    timers_.seconds[phase_] += std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Timers& timers_;
  int phase_;
  Clock::time_point start_;
};

}  // namespace switchyard
