// ranks: 1 2 3 5
// The ranks of a node as they see each other: shared memory, states of processes, who may speak.
#include "train/mates.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "support/child.hpp"
#include "support/world.hpp"

namespace switchyard::train {
namespace {

std::string stat_line(const std::string& name, char state) {
  std::string line = "4711 (" + name + ") " + state;
  for (int field = 4; field <= 52; ++field) line += " " + std::to_string(field == 22 ? 987654321 : field);
  return line + "\n";
}

TEST(MatesTest, ReadWhatTheSystemSaysOfAProcess) {
  const std::pair<char, ProcessState> rows[] = {{'R', ProcessState::running}, {'S', ProcessState::running},
                                                {'I', ProcessState::running}, {'D', ProcessState::disk},
                                                {'T', ProcessState::stopped}, {'t', ProcessState::traced},
                                                {'Z', ProcessState::dead},    {'X', ProcessState::dead}};
  for (const std::string name : {"switchyard", "a b", ") T 1 (", ""})
    for (const auto& [letter, state] : rows) {
      const ProcessStat found = parse_stat(stat_line(name, letter));
      EXPECT_EQ(found.state, state) << name << " " << letter;
      EXPECT_EQ(found.started, 987654321u) << name;
    }
  for (const char* text : {"", "4711 (x", "4711 (x) R 1 2"}) EXPECT_EQ(parse_stat(text).state, ProcessState::dead);
}

TEST(MatesTest, FollowAProcessThroughItsStates) {
  const test::Child child([] {
    for (;;) ::pause();
    return 0;
  });
  const auto becomes = [&](ProcessState state) {
    for (int i = 0; i < 1000 && stat_of(child.process()).state != state; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return stat_of(child.process()).state == state;
  };
  EXPECT_TRUE(becomes(ProcessState::running));
  EXPECT_GT(stat_of(child.process()).started, 0u);
  ::kill(child.process(), SIGSTOP);
  EXPECT_TRUE(becomes(ProcessState::stopped));
  ::kill(child.process(), SIGKILL);
  EXPECT_TRUE(becomes(ProcessState::dead)) << "a zombie, since nobody has waited for it";
}

// Between the opening of its file and the reading, too.
TEST(MatesTest, AProcessMayEndWhileItIsLookedAt) {
  for (int i = 0; i < 10; ++i) {
    test::Child child([] {
      for (;;) ::pause();
      return 0;
    });
    std::thread end([&] { child.kill(); });
    ProcessState state = ProcessState::running;
    for (int k = 0; k < 1000000 && state != ProcessState::dead; ++k) state = stat_of(child.process()).state;
    EXPECT_EQ(state, ProcessState::dead);
    end.join();
    EXPECT_EQ(stat_of(child.process()).state, ProcessState::dead) << "nothing is left of it";
  }
}

TEST(MatesTest, SeeEachOthersActivity) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  Mates mates(world);
  ASSERT_EQ(mates.size(), world.size());
  EXPECT_EQ(mates.rank(mates.own()), world.rank());
  EXPECT_EQ(mates.process(mates.own()), ::getpid());
  activity::begin(activity::Part::tasks, 100 + world.rank());
  MPI_Barrier(world.handle());
  for (int mate = 0; mate < mates.size(); ++mate) {
    EXPECT_EQ(mates.record(mate).read().step, 100 + mates.rank(mate));
    EXPECT_TRUE(mates.sees(mate));
    EXPECT_EQ(mates.ending(mate) >= 0, mate != mates.own());
    EXPECT_EQ(mates.state(mate), ProcessState::running);
  }
  const std::uint64_t before = mates.progress();
  MPI_Barrier(world.handle());
  activity::progress();
  MPI_Barrier(world.handle());
  EXPECT_EQ(mates.progress(), before + mates.size());
  MPI_Barrier(world.handle());
}

TEST(MatesTest, OneOfThemMaySpeak) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const Mates mates(world);
  EXPECT_FALSE(mates.somebody_ends());
  MPI_Barrier(world.handle());
  std::int64_t speakers = mates.may_speak() + mates.may_speak();
  MPI_Allreduce(MPI_IN_PLACE, &speakers, 1, MPI_INT64_T, MPI_SUM, world.handle());
  EXPECT_EQ(speakers, 1);
  EXPECT_TRUE(mates.somebody_ends());
  EXPECT_FALSE(mates.spoken());
  MPI_Barrier(world.handle());
  if (world.rank() == 0) mates.has_spoken();
  MPI_Barrier(world.handle());
  EXPECT_TRUE(mates.spoken());
  MPI_Barrier(world.handle());
}

TEST(MatesTest, KnowWhoHasLeft) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const Mates mates(world);
  MPI_Barrier(world.handle());
  EXPECT_FALSE(mates.somebody_ends());
  MPI_Barrier(world.handle());
  if (world.rank() == world.size() - 1) activity::leave();
  MPI_Barrier(world.handle());
  EXPECT_TRUE(mates.somebody_ends());
  MPI_Barrier(world.handle());
}

}  // namespace
}  // namespace switchyard::train
