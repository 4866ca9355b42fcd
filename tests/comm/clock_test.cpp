// ranks: 1 2 3
// Ranks of one machine share its clock: what is measured between them is nothing but the error of the measurement, and
// what is added to one of them must be found.
#include "comm/clock.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace switchyard::comm {
namespace {

/// s; half of the quickest of ten round trips, on a machine that is busy.
double error_of(const Communicator& world) { return world.rank() == 0 ? 0.0 : 0.05; }

TEST(Clock, OfOneMachineIsOne) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  EXPECT_LE(std::abs(clock_offset(world)), error_of(world));
}

TEST(Clock, AnotherClockIsFoundOut) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  for (const double rate : {1.0, -3.0}) {  // ahead of rank 0 by one second a rank; behind it by three
    const double ahead = rate * world.rank();
    const double offset = clock_offset(world, [&] { return now() + ahead; });
    EXPECT_NEAR(offset, -ahead, error_of(world)) << world.rank();
  }
}

}  // namespace
}  // namespace switchyard::comm
