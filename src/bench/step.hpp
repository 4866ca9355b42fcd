// Whole training steps on random tokens, of several configurations beside each other: what `switchyard bench step`
// prints, and what other benchmarks are made of.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "config/config.hpp"
#include "train/forecast.hpp"

namespace switchyard::bench {

/// One of the configurations that are measured beside each other.
struct Variant {
  std::string name;  ///< what it changes in the first one: "layout.schedule=interleaved layout.lanes=4"
  Config config;
  train::Predict predict = {};  ///< what `plan` says of it, where there is a machine description
};

struct StepOptions {
  int warmup = 3;
  int repetitions = 10;
  /// Called on all ranks before the first turn of steps that is measured, and after each: for what else is to be
  /// measured at the same time.
  std::function<void()> between = {};
  std::string json;  ///< file that results are appended to, one line each; empty for none
};

/// Trains `warmup` + `repetitions` steps of every variant on random tokens, one step of each in turn, so that what else
/// the machine does meets all of them. Of each: protocol, tokens/s (median, least, most), milliseconds by phase,
/// communication, model FLOP/s and their share of the product rate measured in the same process before and after; of
/// all but the first also step_ratio, the median of their step over the first one's of the same turn; what
/// layout.lanes 0 and layout.poll 0 came to, and what was predicted. The same on all ranks. Collective over
/// MPI_COMM_WORLD. Threads are the first one's.
std::vector<nlohmann::ordered_json> measure_steps(const std::vector<Variant>& variants, const StepOptions& options);

/// These as JSON lines from rank 0.
Exit print_steps(const std::vector<Variant>& variants, const StepOptions& options);

/// Steps on random tokens by request (bench/serve.hpp, "run N"), after rank 0 has printed what they are of. Collective
/// over MPI_COMM_WORLD.
Exit serve_steps(const Config& config);

/// A table from rank 0: how much of the communication of variants of one configuration is hidden, beside the bound; the
/// first is serial, on one lane, and its rows go straight. Throws Error{internal} where they end with different losses.
Exit print_overlap(const std::vector<Variant>& variants, const StepOptions& options);

/// A table from rank 0: what steps of `layout` take over those of `run` (train.determinism), a line for each of
/// `configurations`; noise is what two of `run` in the same turns differ by.
Exit print_determinism(const std::vector<Variant>& configurations, const StepOptions& options);

}  // namespace switchyard::bench
