// Clocks of several machines, brought together.
#pragma once
#include "comm/communicator.hpp"

namespace switchyard::comm {

/// What rank 0's steady clock shows more than this rank's, s; 0 on rank 0. The quickest of some round trips decides
/// (Cristian 1989), so it is wrong by at most half of that. Collective.
double clock_offset(const Communicator& world);

}  // namespace switchyard::comm
