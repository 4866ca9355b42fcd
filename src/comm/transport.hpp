// How bytes travel between two ranks; make_transports (transfers.hpp) says which pairs take which. How to add a
// transport stands in CONTRIBUTING.md.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/nodes.hpp"

namespace switchyard::comm {

enum class TransportKind { mpi, window };

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
/// of the transport make progress; nothing else need do so, so what a rank has sent may not leave before it polls or
/// waits: ranks wait for theirs before anything that their peers come to after the same messages only.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Memory memory() const = 0;  ///< where its buffers must lie
  /// Local. Rows of `row_bytes` (at least 1); a transport that cannot count the rows of a message throws Error{usage}.
  virtual std::unique_ptr<Requests> begin(std::int64_t row_bytes) = 0;
};

/// Collective over `group`, which must outlive it, and whose ranks are on `nodes`. AgreedError{usage} where it cannot
/// be made.
std::unique_ptr<Transport> make_transport(TransportKind kind, const Communicator& group, const Nodes& nodes);

}  // namespace switchyard::comm
