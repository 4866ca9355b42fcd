// The memory of a run before it is one: what its ranks would ask of their arenas, asked of arenas that only measure.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "config/estimate.hpp"

namespace switchyard::train {

/// Of every rank; `ranks` must fit the configuration, whose vocabulary is known. Needs neither MPI nor Kokkos to be
/// initialized.
std::vector<RankBytes> rank_bytes(const Config& config, int ranks);

/// Of the rank that needs most.
inline std::int64_t most_bytes(const std::vector<RankBytes>& ranks) {
  std::int64_t most = 0;
  for (const RankBytes& bytes : ranks) most = std::max(most, bytes.total());
  return most;
}

}  // namespace switchyard::train
