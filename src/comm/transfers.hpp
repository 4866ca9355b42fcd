// Transfers under way by whatever transports, and the promise that nobody leaves while their buffers are in use.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "comm/transport.hpp"
#include "config/config.hpp"

namespace switchyard::comm {

/// What was picked for the pairs of ranks of a group; the same on all of them.
struct Picked {
  std::int64_t by_window = 0, by_mpi = 0;                           ///< pairs
  std::int64_t longest = std::numeric_limits<std::int64_t>::max();  ///< bytes of a message by window
  std::string note;  ///< why `auto` has not what it would take; else empty
};

/// Bytes of the longest message for which `auto` takes a window: beyond it MPI, with one copy through the kernel (CMA),
/// is quicker than two (docs/benchmarks.md). It fits into the slots of a pair, so ranks that share cores need not take
/// turns over it.
inline constexpr std::int64_t longest_by_window = 256 << 10;

/// The transport of every pair of ranks that this one is in; all of them work in one memory. `group` must outlive it.
class Transports {
 public:
  /// Pairs with rank r of the group use `made[index_of[r]]`, and `made[0]` for messages of more than `picked.longest`.
  Transports(const Communicator& group, std::vector<std::unique_ptr<Transport>> made, std::vector<int> index_of,
             Picked picked = {});
  /// The same for all pairs. Collective.
  Transports(const Communicator& group, TransportKind kind);

  const Communicator& group() const { return group_; }
  Memory memory() const { return made_[0]->memory(); }  ///< where buffers must lie
  const std::vector<std::unique_ptr<Transport>>& made() const { return made_; }
  std::size_t index_of(int rank, std::int64_t bytes) const { return bytes > picked_.longest ? 0 : index_of_[rank]; }
  const Picked& picked() const { return picked_; }

 private:
  const Communicator& group_;
  std::vector<std::unique_ptr<Transport>> made_;
  std::vector<int> index_of_;
  Picked picked_;
};

/// Chooses for every pair of `group`, whose ranks are on `nodes`; both ranks of a pair choose alike. `auto_` is a
/// window on a node, but for long messages, and MPI for the others; or MPI alone, with a note, where there is no memory
/// to share. AgreedError{usage} where `window` is chosen and cannot be had for all pairs. Collective.
Transports make_transports(const Communicator& group, const Nodes& nodes, TransportChoice choice);

/// Sends and receives of rows of `row_bytes`, each by the transport of its pair, waited for together. Buffers and
/// `transports` must outlive it. The destructor waits; while an exception unwinds it ends the run instead, because the
/// peers of these transfers may never come.
class Transfers {
 public:
  Transfers(Transports& transports, std::int64_t row_bytes);
  Transfers(const Transfers&) = delete;
  ~Transfers();

  /// `rows` from or to another rank of the group; more than the transport can count (MPI: INT_MAX) are Error{usage}.
  void receive(void* buffer, std::int64_t rows, int from, int tag);
  void send(const void* buffer, std::int64_t rows, int to, int tag);
  /// Lets the transports make progress; whether every transfer is complete.
  bool poll();
  /// Returns when every transfer is complete.
  void wait();

 private:
  std::vector<int> incomplete() const;
  const Transports& transports_;
  int exceptions_;  // in flight when this object was made
  std::int64_t row_bytes_;
  std::vector<std::unique_ptr<Requests>> requests_;  // of each transport
  std::size_t under_way_ = 0;
};

}  // namespace switchyard::comm
