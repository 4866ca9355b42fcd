// One job at a time in a run folder, and the next one's segment.
#include "record/run_folder.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/check.hpp"
#include "base/files.hpp"
#include "fixtures.hpp"
#include "record/segments.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;

TEST(RunFolder, ASecondJobIsRefusedByHostAndProcess) {
  const Folder base;
  RunFolder first(base / "run");
  EXPECT_EQ(first.warning(), "");
  const pid_t child = fork();
  if (child == 0) {
    int code = 0;
    try {
      RunFolder second(base / "run");
    } catch (const Error& error) {
      const std::string text = error.what();
      char host[256] = {};
      gethostname(host, sizeof host - 1);
      const bool named =
          text.find(host) != std::string::npos && text.find(std::to_string(getppid())) != std::string::npos;
      code = named ? static_cast<int>(error.code()) : 99;
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(Exit::busy));
}

TEST(RunFolder, ReadingTheLockFileDoesNotLoseTheLock) {
  const Folder base;
  RunFolder first(base / "run");
  EXPECT_EQ(files::read_text(base / "run/lock").find(' ') == std::string::npos, false);
  EXPECT_THROW(RunFolder(base / "run"), Error);
}

TEST(RunFolder, TheLockEndsWithAKilledProcess) {
  const Folder base;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    RunFolder holder(base / "run");
    if (write(ready[1], "x", 1) != 1) _exit(1);
    pause();
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_THROW(RunFolder(base / "run"), Error);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(RunFolder(base / "run"));
}

TEST(RunFolder, EveryStartHasASegmentOfItsOwn) {
  const Folder base;
  RunFolder folder(base / "run");
  EXPECT_EQ(RunFolder::segments(folder.path()), std::vector<int>{});
  EXPECT_EQ(folder.start_segment(), base / "run/segments/000");
  EXPECT_EQ(folder.start_segment(), base / "run/segments/001");
  EXPECT_EQ(RunFolder::segments(folder.path()), (std::vector<int>{0, 1}));
}

// Nothing is read or written outside of the run, whatever stands in a segment's place.
TEST(RunFolder, ASegmentIsAFolderOfTheRun) {
  const Folder base;
  RunFolder folder(base / "run");
  const std::string first = folder.start_segment(), run = folder.path();
  const auto refusal = [&] {
    try {
      RunFolder::segments(run);
      return std::string();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::usage);
      return std::string(error.what());
    }
  };
  std::filesystem::rename(first, base / "elsewhere");
  for (const char* target : {"elsewhere", "nowhere"}) {
    std::filesystem::create_symlink(base / target, first);
    EXPECT_EQ(refusal().find(first + " is a link (nothing is written outside of " + run + ")"), 0u) << refusal();
    std::filesystem::remove(first);
  }
  files::write_text(first, "no folder");
  EXPECT_EQ(refusal().find(first + " is no folder"), 0u) << refusal();
}

TEST(RunFolder, WritesTextsWhole) {
  const Folder base;
  RunFolder folder(base / "run");
  folder.write("config.yaml", "a: 1\n");
  folder.write("config.yaml", "a: 2\n");
  EXPECT_EQ(files::read_text(base / "run/config.yaml"), "a: 2\n");
}

// A segment ends at a whole chunk, before any of its files has too many chunks.
TEST(Segments, AreFullBeforeAnIndexOutgrowsAPage) {
  Config c;
  for (const auto& [flush, evaluate, sample] :
       {std::tuple(10, 0, 0), std::tuple(10, 1, 0), std::tuple(10, 100, 7), std::tuple(1, 100, 100)}) {
    c.record.flush_every = flush, c.train.evaluate_every = evaluate, c.record.sample_every = sample;
    const std::int64_t first = 30;
    std::int64_t step = first;
    while (!record::is_full(c, first, step)) step += flush;
    for (const int every : {flush, evaluate, sample})
      EXPECT_LE((step - first) / std::max(every, 1), every ? record::max_chunks : step) << flush << " " << evaluate;
    EXPECT_EQ(step % flush, 0);
    EXPECT_GT(step, first + record::max_chunks / 2);
    EXPECT_FALSE(record::is_full(c, step, step));
  }
}

}  // namespace
