#include "comm/clock.hpp"

#include <limits>

namespace switchyard::comm {
namespace {

constexpr int rounds = 10, tag = 72;

/// Tells `rank` the time whenever it asks.
void answer(const Communicator& world, int rank, const std::function<double()>& clock) {
  const activity::Waiting waiting(world.member(rank), activity::Wait::messages);
  for (int i = 0; i < rounds; ++i) {
    char question = 0;
    check_mpi(MPI_Recv(&question, 1, MPI_CHAR, rank, tag, world.handle(), MPI_STATUS_IGNORE));
    const double time = clock();
    check_mpi(MPI_Send(&time, 1, MPI_DOUBLE, rank, tag, world.handle()));
  }
}

double ask(const Communicator& world, const std::function<double()>& clock) {
  const activity::Waiting waiting(world.member(0), activity::Wait::messages);
  double offset = 0.0, quickest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < rounds; ++i) {
    const char question = 1;
    double there = 0.0;
    const double start = clock();
    check_mpi(MPI_Send(&question, 1, MPI_CHAR, 0, tag, world.handle()));
    check_mpi(MPI_Recv(&there, 1, MPI_DOUBLE, 0, tag, world.handle(), MPI_STATUS_IGNORE));
    const double took = clock() - start;
    if (took < quickest) quickest = took, offset = there - (start + took / 2);
  }
  return offset;
}

}  // namespace

double clock_offset(const Communicator& world, const std::function<double()>& clock) {
  if (world.rank() > 0) return ask(world, clock);
  for (int rank = 1; rank < world.size(); ++rank) answer(world, rank, clock);
  return 0.0;
}

}  // namespace switchyard::comm
