// How bytes travel between two ranks; make_transports (transfers.hpp) says which pairs take which. How to add a
// transport stands in CONTRIBUTING.md.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/nodes.hpp"

namespace switchyard::comm {

enum class TransportKind { mpi, window };

/// What was picked for the pairs of one rank.
struct Picked {
  std::int64_t by_window = 0, by_mpi = 0;  ///< pairs
  std::string note;                        ///< why not what was asked for; empty where it was
};

/// Where a buffer lies: one and the same on host builds.
enum class Memory { host, device };

/// Messages of one transport under way, of rows of one size, waited for together. Buffers must live until all are
/// complete; comm::Transfers, which owns these objects, sees to it that nobody leaves before.
class Requests {
 public:
  virtual ~Requests() = default;
  /// `rows` (0 or more, as many as are sent) from rank `from` of the group.
  virtual void receive(void* buffer, std::int64_t rows, int from, int tag) = 0;
  virtual void send(const void* buffer, std::int64_t rows, int to, int tag) = 0;
  virtual bool poll() = 0;  ///< lets the transport make progress; whether all are complete
  /// Adds the ranks of the group from or to which messages are incomplete; a rank may come twice.
  virtual void add_incomplete(std::vector<int>& ranks) const = 0;
};

/// Carries rows between this rank and others of its group. Messages of one pair and tag are received in the order in
/// which they were sent, whatever their Requests; `tag` is at most 32767. Polling or waiting for some lets all others
/// of the transport make progress. Of a pair at least 64 messages may be under way in each direction, and be received
/// in any order of their tags.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Memory memory() const = 0;  ///< where its buffers must lie
  /// Local. Rows of `row_bytes` (at least 1); a transport that cannot count the rows of a message throws Error{usage}.
  virtual std::unique_ptr<Requests> begin(std::int64_t row_bytes) = 0;
};

/// Collective over `group`, which must outlive it. `nodes` says which of its ranks share memory; nullptr, on all ranks
/// alike, for `window` where they cannot read each other's.
std::unique_ptr<Transport> make_transport(TransportKind kind, const Communicator& group, const Nodes& nodes);

}  // namespace switchyard::comm
