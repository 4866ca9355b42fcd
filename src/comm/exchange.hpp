// Moving rows between the ranks of an expert group by a plan. Adding an algorithm: one file in comm/exchange/, one
// enumerator in config/config.hpp, one line in make_exchange and in the test table.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "config/config.hpp"

namespace switchyard::comm {

/// Rows [send[p], send[p+1]) of the send buffer go to rank p of the group, rows [receive[p], receive[p+1]) of the
/// receive buffer come from it. Both have size()+1 entries, first 0.
struct RowPlan {
  std::vector<std::int64_t> send;
  std::vector<std::int64_t> receive;
};

/// Identifies an exchange for the watchdog and as MPI tag.
struct ExchangeTag {
  std::int64_t step = 0;
  int layer = 0;
  int phase = 0;  ///< 0 dispatch, 1 combine, 2 combine backward, 3 dispatch backward
};

/// `start` posts, `finish` waits; buffers (host memory, rows of `width` floats) must live until finish returns. A block
/// for this rank itself is copied. One exchange at a time.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void start(const RowPlan& plan, int width, const float* send, float* receive, ExchangeTag tag) = 0;
  virtual void finish() = 0;
};

std::unique_ptr<Exchange> make_exchange(ExchangeKind kind, const Communicator& group);

}  // namespace switchyard::comm
