// `switchyard bench exchange --transport T`: how long rows take between ranks, by each way to carry them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "config/config.hpp"

namespace switchyard::bench {

struct TransportOptions {
  std::vector<TransportChoice> transports;  ///< of `pairwise`, in turn
  std::vector<std::int64_t> sizes{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20};  ///< bytes for each rank
  int rounds = 200;
  std::string json;  ///< file to append a line a size and way to
};

/// Times an all-to-all of as many bytes for each rank by every transport, by alltoallv, and by sending everything to
/// everybody, one after the other in every round; checks what arrives. Collective over MPI_COMM_WORLD.
Exit measure_transports(const TransportOptions& options);

}  // namespace switchyard::bench
