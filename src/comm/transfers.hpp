// Transfers under way by whatever transports, and the promise that nobody leaves while their buffers are in use.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "comm/transport.hpp"
#include "config/config.hpp"

namespace switchyard::comm {

/// The transport of every pair of ranks that this one is in; all of them work in one memory. `group` must outlive it.
class Transports {
 public:
  /// Pairs with rank r of the group use `made[index_of[r]]`.
  Transports(const Communicator& group, std::vector<std::unique_ptr<Transport>> made, std::vector<int> index_of);
  /// The same for all pairs, of ranks on one node if it is `window`, which is collective; `mpi` is local.
  Transports(const Communicator& group, TransportKind kind);

  const Communicator& group() const { return group_; }
  Memory memory() const { return made_[0]->memory(); }  ///< where buffers must lie
  const std::vector<std::unique_ptr<Transport>>& made() const { return made_; }
  std::size_t index_of(int rank) const { return index_of_[rank]; }
  const Picked& picked() const { return picked_; }

 private:
  const Communicator& group_;
  std::vector<std::unique_ptr<Transport>> made_;
  std::vector<int> index_of_;
  Picked picked_;
  friend Transports make_transports(const Communicator& group, TransportChoice choice);
};

/// Chooses for every pair of `group`; both ranks of a pair choose alike: pairs that share memory, whatever counts as a
/// node otherwise, by window unless `choice` is mpi. Where that cannot be had, auto takes mpi and notes it, and window
/// is Error{usage} on all ranks alike. Collective.
Transports make_transports(const Communicator& group, TransportChoice choice);

/// Does `work`, which may leave something under way: of what it throws wait_or_end_run tells, and ends the run with its
/// code, until there is other work.
void told_if_unwound(const std::function<void()>& work);

/// What the destructor of something under way does: it waits. While an exception unwinds that was not in flight when
/// the object was made (`exceptions` were), or where waiting fails, it ends the run instead, saying what was under way:
/// the peers may never come, or wait for what is still to be sent. Message and code are those of the error that
/// unwinds, where it is known, else Exit::internal.
void wait_or_end_run(const Communicator& group, int exceptions, const std::string& what,
                     const std::function<void()>& wait);

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
  std::int64_t row_bytes_;
  int exceptions_;                                   // in flight when this object was made
  std::vector<std::unique_ptr<Requests>> requests_;  // of each transport
  std::size_t under_way_ = 0;
};

}  // namespace switchyard::comm
