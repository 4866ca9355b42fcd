// Every layout that a configuration could have on some ranks, by its predicted step. No MPI, no Kokkos.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "plan/prediction.hpp"

namespace switchyard::plan {

struct Candidate {
  Config config;
  Prediction prediction;
  std::int64_t rank_bytes = 0;  ///< of the rank that needs most
  bool fits = true;
};

/// Where layout.lanes is 0 the candidate of which the fastest step is predicted, as a run would measure it.
Config with_fastest_lanes(const Config& config, const Site& site);

/// Configurations that differ from this one in layout.expert_parallel, expert_tensor_parallel, lanes, schedule,
/// exchange, zero and recompute alone, which validate() lets pass. `alltoallv`, which blocks while rows travel, only
/// where the configuration has it.
std::vector<Config> layouts_of(const Config& config, const Site& site);

/// Whether ranks of so many bytes have room on a node.
inline bool fits(std::int64_t rank_bytes, const Site& site, double node_bytes) {
  return double(rank_bytes) * site.ranks_per_node() <= node_bytes;
}

/// Bytes of the rank that needs most.
using Memory = std::function<std::int64_t(const Config&, int ranks)>;

/// The layouts, those that fit the bytes of a node first, then the faster ones, then those that need less; `memory` is
/// asked until `most` fit, and what was not asked for is left out.
std::vector<Candidate> rank_layouts(const Config& config, const Site& site, double node_bytes, const Memory& memory,
                                    std::size_t most);

/// What to put into the configuration for this layout: YAML.
std::string layout_yaml(const Config& config);

}  // namespace switchyard::plan
