// What of a configuration decides the bits of a run.
#pragma once
#include <string>

#include "config/config.hpp"

namespace switchyard::record {

/// SHA-256 over "key=value" lines of every option that `resume` may not change: all but layout.*, record.*, train.steps
/// and train.max_time.
std::string config_sha256_invariant(const Config& config);

}  // namespace switchyard::record
