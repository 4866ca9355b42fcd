#include "comm/communicator.hpp"

#include <exception>
#include <numeric>
#include <string>

#include "base/check.hpp"

namespace switchyard::comm {

void check_mpi(int code, std::source_location at) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(Exit::internal, std::string(at.file_name()) + ":" + std::to_string(at.line()) + ": MPI failed (" +
                                  std::string(text, length) + ")");
}

namespace {

std::vector<int> ranks_in_world(MPI_Comm comm, int size) {
  MPI_Group world = MPI_GROUP_NULL, group = MPI_GROUP_NULL;
  check_mpi(MPI_Comm_group(MPI_COMM_WORLD, &world));
  check_mpi(MPI_Comm_group(comm, &group));
  std::vector<int> own(size), ranks(size);
  std::iota(own.begin(), own.end(), 0);
  check_mpi(MPI_Group_translate_ranks(group, size, own.data(), world, ranks.data()));
  MPI_Group_free(&group), MPI_Group_free(&world);
  return ranks;
}

}  // namespace

Communicator::Communicator(MPI_Comm handle) : handle_(handle) {
  check_mpi(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN));
  check_mpi(MPI_Comm_rank(handle_, &rank_));
  check_mpi(MPI_Comm_size(handle_, &size_));
  world_ranks_ = ranks_in_world(handle_, size_);
  members_ = activity::around(world_ranks_);
}

Communicator Communicator::duplicate(MPI_Comm of) {
  MPI_Comm made = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(of, &made));
  return Communicator(made);
}

Communicator Communicator::split(int color, int key) const {
  MPI_Comm made = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(handle_, color, key, &made));
  return Communicator(made);
}

Communicator Communicator::split_shared() const {
  MPI_Comm made = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(handle_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &made));
  return Communicator(made);
}

Communicator::~Communicator() {
  // Freeing is collective: while an error unwinds this rank alone it could wait for the others for ever.
  if (handle_ != MPI_COMM_NULL && std::uncaught_exceptions() == 0) MPI_Comm_free(&handle_);
}

}  // namespace switchyard::comm
