// The memory of a configuration as a run takes it, beside what `switchyard check` predicts: what `switchyard bench
// memory` prints.
#pragma once
#include <string>

#include "base/check.hpp"
#include "config/config.hpp"

namespace switchyard::bench {

/// Makes the machine of a configuration and trains `steps` steps on random tokens, while allocations are counted by
/// label. Prints a table of rank 0: bytes by account as `check` has them, beside the allocations they are part of; what
/// had been taken when a stage took more; largest allocations; what is in use. Every rank's as JSON lines in the file
/// `json` (none where empty). Collective over MPI_COMM_WORLD, in Kokkos; nothing else may listen to its allocations.
Exit measure_memory(const Config& config, int steps, const std::string& json);

}  // namespace switchyard::bench
