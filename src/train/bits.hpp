// The bits of a short training on tokens that the program makes itself, as lines to compare.
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "config/config.hpp"

namespace switchyard::train {

/// Trains train.steps steps on synthetic batches and evaluates one more. A line for what each stage gave, in the order
/// of computation: "step 1, routing of block 0: 3f9c02d1a87be645", the first 16 digits of a SHA-256. The same on every
/// rank and, unless train.determinism is `run`, every layout (contract C1). Collective over `ranks`.
std::vector<std::string> trained_bits(const Config& config, comm::Communicator ranks);

}  // namespace switchyard::train
