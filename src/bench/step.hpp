// `switchyard bench step`: tokens per second of whole training steps on random tokens, with the protocol in the output.
#pragma once
#include <string>

#include "base/check.hpp"
#include "config/config.hpp"
#include "train/forecast.hpp"

namespace switchyard::bench {

/// Trains `warmup` + `repetitions` steps on random tokens and prints one JSON line from rank 0 (also appended to
/// `json_out` unless empty): tokens/s (median, least, most), milliseconds by phase, model FLOP/s, and their share of
/// the product rate measured in the same process before and after; what layout.lanes 0 and layout.poll 0 came to, and
/// what `predict` says, unless it is null. Collective over MPI_COMM_WORLD.
Exit measure_step(const Config& config, int warmup, int repetitions, const std::string& json_out,
                  const train::Predict& predict = {});

}  // namespace switchyard::bench
