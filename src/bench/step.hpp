// `switchyard bench step`: tokens per second of whole training steps on random tokens, with the protocol in the output.
#pragma once
#include <string>

#include "base/check.hpp"
#include "config/config.hpp"

namespace switchyard::bench {

/// Trains `warmup` + `repetitions` steps on random tokens and prints one JSON line from rank 0 (also appended to
/// `json_out` unless empty): tokens/s (median, least, most), milliseconds by phase, model FLOP/s, and their share of
/// the product rate measured in the same process before and after. Collective over MPI_COMM_WORLD.
Exit measure_step(const Config& config, int warmup, int repetitions, const std::string& json_out);

}  // namespace switchyard::bench
