// One job at a time: who holds a lock is known and named, whoever ends lets go of it, and no two ever hold it.
#include "base/lock.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "base/check.hpp"
#include "base/files.hpp"
#include "support/child.hpp"
#include "support/folder.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

std::string host() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string holder_text(pid_t process) { return host() + " " + std::to_string(process); }

/// The message where the lock cannot be had, with its code; "" where it can.
std::string refusal(const std::string& file, Exit code) try {
  const FileLock lock(file, "the run r");
  return "";
} catch (const Error& error) {
  EXPECT_EQ(error.code(), code) << error.what();
  return error.what();
}

/// A pipe by which a child says that it is so far.
class Ready {
 public:
  Ready() { EXPECT_EQ(::pipe(ends_.data()), 0); }
  ~Ready() {
    for (const int end : ends_) ::close(end);
  }
  bool say() const { return ::write(ends_[1], "x", 1) == 1; }
  void wait() const {
    char c = 0;
    EXPECT_EQ(::read(ends_[0], &c, 1), 1);
  }

 private:
  std::array<int, 2> ends_{};
};

TEST(FileLock, IsHeldFromItsBeginningToItsEnd) {
  const test::Folder folder;
  const std::string file = folder / "lock";
  EXPECT_EQ(FileLock::holder(file), "") << "nothing is there";
  {
    const FileLock lock(file, "the run r");
    EXPECT_EQ(lock.warning(), "");
    EXPECT_EQ(FileLock::holder(file), holder_text(getpid()));
    EXPECT_EQ(refusal(file, Exit::busy), "the run r is in use (by process " + std::to_string(getpid()) + " on host " +
                                             host() + "); wait for it, end it, or choose another folder");
  }
  EXPECT_EQ(FileLock::holder(file), "") << "the name of who had it is not one who has it";
  EXPECT_EQ(files::read_text(file), holder_text(getpid()) + "\n");
  EXPECT_EQ(refusal(file, Exit::busy), "");
}

TEST(FileLock, APassingOneGoesWithItsFile) {
  const test::Folder folder;
  const std::string file = folder / "lock";
  {
    const FileLock lock = FileLock::passing(file, "it");
    EXPECT_NE(refusal(file, Exit::busy), "");
    EXPECT_TRUE(fs::exists(file)) << "a refused lock does not take the file away";
  }
  EXPECT_FALSE(fs::exists(file));
}

TEST(FileLock, MovesWithoutLettingGo) {
  const test::Folder folder;
  const std::string first = folder / "first", second = folder / "second";
  FileLock held(first, "it");
  { const FileLock moved(std::move(held)); }
  EXPECT_EQ(refusal(first, Exit::busy), "") << "it went with the object that it was moved to";
  held = FileLock::passing(first, "it");
  EXPECT_NE(refusal(first, Exit::busy), "");
  held = FileLock(second, "it");
  EXPECT_FALSE(fs::exists(first)) << "replaced, it ends";
  EXPECT_NE(refusal(second, Exit::busy), "");
  held = FileLock();
  EXPECT_EQ(refusal(second, Exit::busy), "");
}

// Closing another descriptor of the file would end a lock of the process (POSIX, fcntl), as reading it does.
TEST(FileLock, ReadingTheFileLetsNothingGo) {
  const test::Folder folder;
  const FileLock lock(folder / "lock", "it");
  { std::ifstream reader(folder / "lock"); }
  FileLock::holder(folder / "lock");
  EXPECT_EQ(test::in_child([&] { return int(test::code_of([&] { FileLock(folder / "lock", "it"); })); }),
            static_cast<int>(Exit::busy));
}

TEST(FileLock, EndsWithItsProcessHoweverThatEnds) {
  const test::Folder folder;
  const std::string file = folder / "lock";
  files::write_text(file, "another-host.with-a-long-name 1234567890\n");
  const Ready ready;
  test::Child child([&] {
    const FileLock lock(file, "it");
    ready.say();
    ::pause();
    return 0;
  });
  ready.wait();
  EXPECT_EQ(FileLock::holder(file), holder_text(child.process())) << "nothing is left of a longer text";
  EXPECT_NE(refusal(file, Exit::busy).find("(by process " + std::to_string(child.process()) + " on host"),
            std::string::npos);
  EXPECT_EQ(child.kill(), 200 + SIGKILL);
  EXPECT_EQ(FileLock::holder(file), "");
  EXPECT_EQ(refusal(file, Exit::busy), "");
}

TEST(FileLock, SaysWhoHoldsIt) {
  for (const auto& [holder, who] :
       {std::pair("node7 123", "process 123 on host node7"), std::pair("a b 12", "process 12 on host a b"),
        std::pair("", "another job"), std::pair("node7", "another job")})
    EXPECT_EQ(FileLock::who(holder), who) << holder;
}

// What is not a lock stays as it is; what is one, of a job that has ended, is taken over.
TEST(FileLock, OnlyLocksAreLocked) {
  const test::Folder folder;
  const std::string file = folder / "lock";
  std::string longest(250, 'h'), longer(300, 'h');
  longest.append(" 4194304\n"), longer.append(" 1\n");
  for (const std::string good : {"", "host 123\n", "host 123", longest.c_str()}) {
    std::ofstream(file) << good;
    EXPECT_EQ(refusal(file, Exit::usage), "") << good;
    EXPECT_EQ(files::read_text(file), holder_text(getpid()) + "\n");
  }
  for (const std::string bad : {"\n", "host\n", "host \n", " 123\n", "host 12x\n", "host -1\n", "host 123 456\n",
                                "host 123\nmore\n", " ", longer.c_str()}) {
    std::ofstream(file) << bad;
    EXPECT_TRUE(refusal(file, Exit::usage).starts_with(file + " is not a lock of this program (")) << bad;
    EXPECT_EQ(files::read_text(file), bad);
  }
  fs::remove(file);
  const auto refused = [&](const char* what) {
    EXPECT_TRUE(refusal(file, Exit::usage).starts_with(file + " is not a lock of this program (")) << what;
    EXPECT_TRUE(fs::exists(fs::symlink_status(file))) << what;
    fs::remove(file);
  };
  fs::create_directory(file), refused("a folder");
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  refused("a FIFO");
  std::ofstream(folder / "mine");
  fs::create_symlink(folder / "mine", file), refused("a link");
  fs::create_symlink(folder / "nowhere", file), refused("a link to nothing");
  EXPECT_FALSE(fs::exists(folder / "nowhere"));
  EXPECT_TRUE(refusal(folder / "missing/lock", Exit::usage).starts_with("cannot open "));
}

// A job whose name does not fit on the disk leaves no lock that nobody holds.
TEST(FileLock, AFullDiskLeavesNone) {
  const test::Folder folder;
  EXPECT_EQ(test::in_child([&] {
              test::limit_files(3);
              return static_cast<int>(test::code_of([&] { FileLock(folder / "lock", "it"); }));
            }),
            static_cast<int>(Exit::storage));
  EXPECT_FALSE(fs::exists(folder / "lock"));
}

// Each process adds to a number in a file, without any other care than the lock. A lock whose file has been removed
// between opening and locking guards nothing; passing locks are removed all the time.
TEST(FileLock, NoTwoHoldItAtOnce) {
  constexpr int processes = 4, rounds = 60;
  const test::Folder folder;
  files::write_text(folder / "number", "0");
  const auto add = [&] {
    for (int done = 0; done < rounds;) try {
        const FileLock lock = FileLock::passing(folder / "lock", "it");
        std::ofstream(folder / "number.next") << std::stoi(files::read_text(folder / "number")) + 1;
        fs::rename(folder / "number.next", folder / "number");
        ++done;
      } catch (const Error& error) {
        if (error.code() != Exit::busy) return 1;
      }
    return 0;
  };
  std::array<std::unique_ptr<test::Child>, processes> children;
  for (auto& child : children) child = std::make_unique<test::Child>(add);
  for (auto& child : children) EXPECT_EQ(child->wait(), 0);
  EXPECT_EQ(files::read_text(folder / "number"), std::to_string(processes * rounds));
  EXPECT_FALSE(fs::exists(folder / "lock"));
}

}  // namespace
}  // namespace switchyard
