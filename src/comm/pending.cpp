#include "comm/pending.hpp"

#include <cstdio>
#include <exception>
#include <limits>
#include <string>

#include "base/check.hpp"

namespace switchyard::comm {

int mpi_count(std::int64_t count, const char* what) {
  check(count >= 0 && count <= std::numeric_limits<int>::max(), Exit::usage,
        std::to_string(count) + " " + what +
            " (MPI counts at most 2147483647 in one message); use more ranks or a smaller batch");
  return static_cast<int>(count);
}

Pending::Pending(const Communicator& comm) : comm_(comm.handle()), exceptions_(std::uncaught_exceptions()) {}

Pending::~Pending() {
  if (requests_.empty()) return;
  if (std::uncaught_exceptions() > exceptions_) {
    std::fprintf(stderr, "switchyard: an error ended a rank while %zu of its transfers were under way\n",
                 requests_.size());
    MPI_Abort(comm_, static_cast<int>(Exit::internal));
  }
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
}

void Pending::receive(void* buffer, std::int64_t count, MPI_Datatype type, int from, int tag) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(buffer, mpi_count(count, "elements to receive"), type, from, tag, comm_, &request));
  requests_.push_back(request);
}

void Pending::send(const void* buffer, std::int64_t count, MPI_Datatype type, int to, int tag) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Isend(buffer, mpi_count(count, "elements to send"), type, to, tag, comm_, &request));
  requests_.push_back(request);
}

bool Pending::poll() {
  if (requests_.empty()) return true;
  int complete = 0;
  check_mpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &complete, MPI_STATUSES_IGNORE));
  if (complete) requests_.clear();
  return complete != 0;
}

void Pending::wait() {
  const int code = MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  requests_.clear();
  check_mpi(code);
}

}  // namespace switchyard::comm
