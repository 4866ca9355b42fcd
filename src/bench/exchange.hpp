// `switchyard bench exchange`: how long the ranks take to send each other as many rows, by every exchange and transport
// in turn, with the protocol in the output.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "config/config.hpp"

namespace switchyard::bench {

inline constexpr std::int64_t exchange_row = 1024;  // bytes

struct ExchangeQuestion {
  std::vector<std::int64_t> sizes;          ///< bytes from each rank to each other, whole rows
  std::vector<ExchangeKind> exchanges;      ///< beside alltoallv, which is always measured
  std::vector<TransportChoice> transports;  ///< of those that take one
  int repetitions = 21;
  std::string json_out;  ///< file to append the result to; empty: none
};

/// Measures all of them and a broadcast of all rows to all ranks in turn, `repetitions` times, on rows that have just
/// been written; checks every row that arrives (Error{internal} where one is wrong). Prints a table from rank 0:
/// median, bytes that a rank sends others by it, and how many times as fast as alltoallv it is. Collective over
/// MPI_COMM_WORLD; AgreedError{usage} on one rank, and where a transport cannot be had.
Exit measure_exchange(const ExchangeQuestion& question);

}  // namespace switchyard::bench
