// Clocks of several machines, brought together.
#pragma once
#include <functional>

#include "base/clock.hpp"
#include "comm/communicator.hpp"

namespace switchyard::comm {

/// What rank 0's `clock` shows more than this rank's, s; 0 on rank 0. The quickest of some round trips decides
/// (Cristian 1989), so it is wrong by at most half of that. It holds for now, since clocks drift apart. Collective;
/// rank 0 answers one rank after another, some 10 µs each.
double clock_offset(const Communicator& world, const std::function<double()>& clock = now);

}  // namespace switchyard::comm
