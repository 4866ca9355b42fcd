// The process beside the only rank of a node: what it tells of the end of the rank, and when it says nothing.
#include "train/guard.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <new>

#include "support/child.hpp"
#include "support/folder.hpp"
#include "support/program.hpp"
#include "support/world.hpp"

namespace switchyard::train {
namespace {

/// The memory of a node with one rank, and a rank that does nothing but end.
class GuardTest : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = ::memfd_create("node", 0);
    ASSERT_EQ(::ftruncate(memory_, static_cast<off_t>(Mates::bytes_of(1))), 0);
    void* data = ::mmap(nullptr, Mates::bytes_of(1), PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
    ASSERT_NE(data, MAP_FAILED);
    shared_ = static_cast<Mates::Shared*>(data);
    activity::Now now;
    now.part = activity::Part::evaluation, now.step = 12;
    shared_->records()[0].publish(now);
    ASSERT_EQ(::pipe(said_.data()), 0);
  }
  void TearDown() override {
    ::munmap(shared_, Mates::bytes_of(1));
    ::close(memory_), ::close(said_[0]);
  }
  /// What the guard of a rank that is killed says, and then its code.
  std::string told(const std::string& log) {
    std::array<int, 2> ready{};
    EXPECT_EQ(::pipe(ready.data()), 0);
    test::Child rank([&] {
      const Letter letter;
      letter.write({3, ::getpid(), {"a", "b", "c", "d"}, log});
      if (::fork() == 0) {
        ::dup2(said_[1], STDERR_FILENO);
        const Exit code = stand_guard({memory_, letter.file(), ready[1]});
        ::dprintf(STDERR_FILENO, "code %d", static_cast<int>(code));
        ::_exit(0);
      }
      ::close(ready[1]);
      for (;;) ::pause();
      return 0;
    });
    ::close(said_[1]), ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1) << "it does not stand";
    ::close(ready[0]);
    rank.kill();
    std::string text;
    for (std::array<char, 512> part{};;) {
      const ssize_t n = ::read(said_[0], part.data(), part.size());
      if (n <= 0) return text;
      text.append(part.data(), static_cast<std::size_t>(n));
    }
  }

  int memory_ = -1;
  Mates::Shared* shared_ = nullptr;
  std::array<int, 2> said_{};
};

TEST_F(GuardTest, TellsOfARankThatIsKilled) {
  const test::Folder folder;
  const std::string log = folder.path() + "/log.txt";
  std::ofstream(log) << "before\n";
  const std::string text = told(log);
  EXPECT_EQ(text.find("switchyard: a rank has died; the job ends, resume goes on from the last checkpoint\n  rank 3 ("),
            0u)
      << text;
  EXPECT_NE(text.find(") has died in the evaluation after step 12\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("code 9")) << text;
  const std::string kept = read(log);
  EXPECT_EQ(kept.find("before\n"), 0u);
  EXPECT_NE(kept.find(" error " + text.substr(0, text.size() - 6)), std::string::npos) << kept;
}

TEST_F(GuardTest, SaysNothingOfARankThatHasLeft) {
  shared_->records()[0].left = 1;
  EXPECT_EQ(told(""), "code 0");
}

TEST_F(GuardTest, SaysNothingWhereTheRankHasSpoken) {
  shared_->speaker = 1, shared_->spoken = 1;
  EXPECT_EQ(told(""), "code 0");
}

TEST_F(GuardTest, TellsOfARankThatDiedBeforeItSpoke) {
  shared_->speaker = 1;
  EXPECT_TRUE(told("").ends_with("code 9"));
}

// A program that ends without watching, one that is not there, and the right one.
TEST(GuardOfARank, StandsOrSaysThatItDoesNot) {
  const Mates mates(comm::Communicator::duplicate(MPI_COMM_WORLD));
  const std::vector<std::string> hosts(1, "here");
  EXPECT_FALSE(Guard(mates, hosts, "/bin/false").stands());
  EXPECT_FALSE(Guard(mates, hosts, "/no/such/program").stands());
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "switchyard";
  Guard guard(mates, hosts, program.string());
  EXPECT_TRUE(guard.stands());
  guard.log_to("elsewhere");
}

TEST(LetterTest, IsReadAsItWasWrittenLast) {
  const Letter letter;
  letter.write({0, 17, {"host one"}, "/a/long/name/of/a/log"});
  letter.write({1, 42, {"a", "b"}, "log\nof two lines"});
  const Letter::Content found = Letter::read(letter.file());
  EXPECT_EQ(found.rank, 1);
  EXPECT_EQ(found.process, 42);
  EXPECT_EQ(found.log, "log\nof two lines");
  EXPECT_EQ(found.hosts, (std::vector<std::string>{"a", "b"}));
  letter.write({2, 42, {"a", "b"}, ""});
  EXPECT_EQ(test::code_of([&] { Letter::read(letter.file()); }), Exit::usage) << "no such rank";
  EXPECT_EQ(test::code_of([&] { Letter::read(-1); }), Exit::usage);
}

// As a user might start it, who finds it in a list of processes.
class GuardCommand : public Program {};

TEST_F(GuardCommand, IsNotForHands) {
  for (const char* words : {"guard", "guard 0 1 1", "guard 5 6 7", "guard x 1 1", "guard -1 2 3"}) {
    const Output o = run(words);
    EXPECT_EQ(o.code, 2) << words;
    EXPECT_FALSE(o.err.empty()) << words;
  }
  EXPECT_EQ(run("--help").out.find("guard"), std::string::npos);
  EXPECT_EQ(run("gard").err.find("guard"), std::string::npos);
}

}  // namespace
}  // namespace switchyard::train
