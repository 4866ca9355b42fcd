// Transfers under way, and the promise that nobody leaves while their buffers are in use.
#pragma once
#include <mpi.h>

#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"

namespace switchyard::comm {

/// Nonblocking sends and receives of one communicator, waited for together. Buffers must outlive it. The destructor
/// waits; while an exception unwinds it ends the run instead, because the peers of these transfers may never come.
class Pending {
 public:
  explicit Pending(const Communicator& comm);
  Pending(const Pending&) = delete;
  ~Pending();

  /// `count` elements of `type`; counts above INT_MAX are an Error.
  void receive(void* buffer, std::int64_t count, MPI_Datatype type, int from, int tag);
  void send(const void* buffer, std::int64_t count, MPI_Datatype type, int to, int tag);
  /// Lets MPI make progress; whether every transfer is complete.
  bool poll();
  /// Returns when every transfer is complete.
  void wait();

 private:
  MPI_Comm comm_;
  int exceptions_;  // in flight when this object was made
  std::vector<MPI_Request> requests_;
};

/// `count` as MPI's int; Error{usage} naming `what` where it does not fit.
int mpi_count(std::int64_t count, const char* what);

}  // namespace switchyard::comm
