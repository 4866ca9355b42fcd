// ranks: 1 2 3
// Ranks of one machine share its clock: what is measured between them is nothing but the error of the measurement.
#include "comm/clock.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace switchyard::comm {
namespace {

TEST(Clock, OfOneMachineIsOne) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  const double offset = clock_offset(world);
  EXPECT_LE(std::abs(offset),
            world.rank() == 0 ? 0.0 : 0.05);  // half of the quickest of ten round trips, on a machine that is busy
}

}  // namespace
}  // namespace switchyard::comm
