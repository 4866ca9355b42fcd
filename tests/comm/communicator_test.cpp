// ranks: 1 2 4
// Ownership of communicators and the text of MPI errors.
#include "comm/communicator.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/check.hpp"

namespace switchyard::comm {
namespace {

TEST(Communicator, DuplicateHasTheSameRanks) {
  int rank = -1, size = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  EXPECT_NE(world.handle(), MPI_COMM_WORLD);
  EXPECT_EQ(world.rank(), rank);
  EXPECT_EQ(world.size(), size);
}

TEST(Communicator, MovedFromOwnsNothing) {
  Communicator first = Communicator::duplicate(MPI_COMM_WORLD);
  const MPI_Comm handle = first.handle();
  {
    const Communicator second = std::move(first);
    EXPECT_EQ(second.handle(), handle);
    EXPECT_EQ(first.handle(), MPI_COMM_NULL);
    EXPECT_EQ(MPI_Barrier(second.handle()), MPI_SUCCESS);
  }  // freed once, here; the destructor of `first` has nothing left to free
}

TEST(Communicator, SplitOrdersByKey) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  const Communicator reversed = world.split(0, -world.rank());
  EXPECT_EQ(reversed.rank(), world.size() - 1 - world.rank());
  const Communicator parity = world.split(world.rank() % 2, world.rank());
  EXPECT_EQ(parity.rank(), world.rank() / 2);
}

TEST(Communicator, ErrorsAreReturnedAndSaidWithTheirPlace) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  int value = 0;
  try {
    check_mpi(MPI_Bcast(&value, 1, MPI_INT, world.size() + 7, world.handle()));
    FAIL() << "a root outside the communicator went through";
  } catch (const Error& e) {
    const std::string text = e.what();
    EXPECT_EQ(e.code(), Exit::internal);
    EXPECT_NE(text.find("communicator_test.cpp:"), std::string::npos) << text;
    EXPECT_NE(text.find("MPI_ERR_ROOT"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace switchyard::comm
