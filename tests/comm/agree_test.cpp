// ranks: 1 2 3 5
// Errors that some ranks find, raised alike by all: every choice of ranks that fail, and what comes after it.
#include "comm/agree.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <new>

namespace switchyard::comm {
namespace {

/// How rank r fails: each in its own way, and with a message of its own length.
[[noreturn]] void fail_as(int r) {
  switch (r) {
    case 0:
      throw Error(Exit::corrupt, "");
    case 1:
      throw std::bad_alloc();
    case 2:
      throw Error(Exit::busy, std::string(70000, 'm') + "\xff\n");
    case 3:
      throw std::runtime_error("no code");
    default:
      throw std::filesystem::filesystem_error("open", "/far", std::make_error_code(std::errc::no_space_on_device));
  }
}

Error error_of(int r) {
  try {
    fail_as(r);
  } catch (const std::exception& e) {
    return as_error(e);
  }
}

TEST(Agree, AllRanksThrowWhatTheLowestFailingRankHas) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  for (int failing = 0; failing < 1 << world.size(); ++failing) {
    int calls = 0, lowest = 0;
    const auto work = [&] {
      ++calls;
      if (failing >> world.rank() & 1) fail_as(world.rank());
    };
    if (failing == 0) {
      EXPECT_NO_THROW(agree(world, work));
    } else {
      while (!(failing >> lowest & 1)) ++lowest;
      const Error wanted = error_of(lowest);
      try {
        agree(world, work);
        ADD_FAILURE() << "ranks " << failing;
      } catch (const AgreedError& error) {
        EXPECT_EQ(error.code(), wanted.code()) << "ranks " << failing;
        EXPECT_STREQ(error.what(), wanted.what()) << "ranks " << failing;
      }
    }
    EXPECT_EQ(calls, 1);
    std::int64_t here = 1;  // no rank is a collective behind
    all_reduce_sum(world, &here, 1);
    EXPECT_EQ(here, world.size());
  }
  EXPECT_EQ(error_of(1).code(), Exit::memory);
  EXPECT_EQ(error_of(3).code(), Exit::internal);
  EXPECT_EQ(error_of(4).code(), Exit::storage);
}

TEST(Agree, AnAgreementWithinAnotherIsTheSame) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  const int last = world.size() - 1;
  try {
    agree(world, [&] {
      agree(world, [&] {
        if (world.rank() == last) throw Error(Exit::non_finite, "rank " + std::to_string(world.rank()));
      });
      ADD_FAILURE() << "went on after an error";
    });
    ADD_FAILURE();
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), Exit::non_finite);
    EXPECT_EQ(error.what(), "rank " + std::to_string(last));
  }
}

TEST(OnRoot, WorksOnceAndFailsEverywhere) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  std::int64_t calls = 0;
  on_root(world, [&] { ++calls; });
  EXPECT_EQ(calls, world.rank() == 0);
  all_reduce_sum(world, &calls, 1);
  EXPECT_EQ(calls, 1);
  EXPECT_THROW(on_root(world, [] { throw Error(Exit::usage, "no"); }), AgreedError);
}

}  // namespace
}  // namespace switchyard::comm
