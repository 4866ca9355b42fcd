// `switchyard bench machine`: what this machine can do, measured for `switchyard plan`.
#pragma once
#include <string>

#include "base/check.hpp"
#include "config/config.hpp"
#include "plan/machine_description.hpp"

namespace switchyard::bench {

struct MachineOptions {
  int repetitions = 5;     ///< of which the best counts (products, messages), or the median (stages)
  std::string out;         ///< file; standard output without one
  int ranks_per_node = 0;  ///< as layout.ranks_per_node
  int message_kib = 4096;  ///< of the messages whose bandwidth is measured
};

/// Measures products, the stages of `reference` trained on all ranks together, and messages; writes YAML (rank 0).
/// Collective over MPI_COMM_WORLD.
Exit measure_machine(const Config& reference, const MachineOptions& options);

/// Describes the machine again and again, as between steps that are to be predicted, and writes all descriptions.
class MachineWatch {
 public:
  /// FILE.yaml becomes FILE-1.yaml, FILE-2.yaml, …; the first one is opened at once. `options.out` is the file.
  MachineWatch(const Config& reference, const MachineOptions& options);
  /// Collective over MPI_COMM_WORLD.
  void measure();

 private:
  Config reference_;
  MachineOptions options_;
  int written_ = 0;
};

/// Of a configuration the model alone counts: rows go straight, on one lane, and nothing is made again.
Config reference_of(Config config);
/// The model whose stages are measured where no configuration is given: dense and mixture blocks, shared experts.
Config reference_config(int ranks);

/// FLOP/s of each product on a grid of shapes, while all ranks multiply.
plan::ProductRates measure_products(int repetitions);
/// Seconds of an element of each stage, beside its products; `ways` are known.
void measure_stages(const Config& reference, int repetitions, plan::MachineDescription& machine);
/// Near and far way, each where there are two ranks that it joins.
void measure_ways(const MachineOptions& options, plan::MachineDescription& machine);

}  // namespace switchyard::bench
