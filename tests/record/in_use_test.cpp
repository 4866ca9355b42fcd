// What someone names, and what is said where a job works on it; folders of segments that no run made.
#include "record/in_use.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/check.hpp"
#include "base/files.hpp"
#include "record/run_folder.hpp"
#include "record/segments.hpp"
#include "support/folder.hpp"
#include "support/refusal.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using test::Folder;
using test::refusal;
namespace fs = std::filesystem;

TEST(WhatIs, ARunACheckpointOrAFile) {
  const Folder base;
  fs::create_directories(base / "run/segments"), fs::create_directories(base / "checkpoint");
  fs::create_directories(base / "both/segments"), fs::create_directories(base / "empty/checkpoints");
  for (const char* name : {"checkpoint/manifest.json", "both/manifest.json", "file.h5", "empty/segments"})
    std::ofstream(base / name) << "x";
  fs::create_directories(base / "half");
  fs::create_symlink(base / "nowhere", base / "half/manifest.json");
  fs::create_directory_symlink(base / "run", base / "link");
  fs::create_symlink(base / "file.h5", base / "link.h5");
  ASSERT_EQ(mkfifo((base / "pipe").c_str(), 0600), 0);
  const std::pair<const char*, Recorded> cases[] = {{"run", Recorded::run},
                                                    {"link", Recorded::run},
                                                    {"both", Recorded::run},
                                                    {"run/", Recorded::run},
                                                    {"checkpoint", Recorded::checkpoint},
                                                    {"half", Recorded::checkpoint},
                                                    {"file.h5", Recorded::file},
                                                    {"link.h5", Recorded::file},
                                                    {"checkpoint/manifest.json", Recorded::file}};
  for (const auto& [name, kind] : cases) EXPECT_EQ(what_is(base / name), kind) << name;
  for (const char* name : {"empty", "run/segments", "nothing", "pipe", "file.h5x"})
    EXPECT_EQ(refusal([&] { what_is(base / name); }),
              "2 " + (base / name) + " is neither a run folder, nor a checkpoint, nor a file");
}

TEST(InUse, IsSaidOfAllThatLiesInTheRun) {
  const Folder base;
  const std::vector<std::string> inside{"run",
                                        "run/",
                                        "run/config.yaml",
                                        "run/segments/000/run.h5",
                                        "run/segments/000",
                                        "run/checkpoints/step-00000003/dense.h5",
                                        "run/checkpoints/../segments"},
      outside{"", "other/run.h5", "run/a/b/c/d.h5", "run/../other"};
  {
    RunFolder holder(base / "run");
    holder.start_segment();
    fs::create_directories(base / "run/a/b/c"), fs::create_directories(base / "other");
    const std::string pid = "process " + std::to_string(getpid()) + " on host ";
    for (const std::string& name : inside) {
      const std::string text = in_use(base / name);
      EXPECT_EQ(text.find(base / name + " is in use by " + pid), 0u) << name << ": " << text;
      EXPECT_TRUE(text.ends_with(": what is complete is read")) << text;
    }
    for (const std::string& name : outside) EXPECT_EQ(in_use(base / name), "") << name;
  }
  for (const std::string& name : inside) EXPECT_EQ(in_use(base / name), "") << name << " after the job ended";
}

TEST(ReadAgain, OnlyWhereAJobWorksAndNotForMemory) {
  const Folder base;
  fs::create_directories(base / "quiet/segments");
  RunFolder holder(base / "busy");
  /// Fails in two ways, then succeeds; how often it was called is added to the answer.
  const auto answer = [](const std::string& path, Exit code) {
    int calls = 0, returned = 0;
    const std::string said = refusal([&] {
      returned = read_again(path, [&] {
        if (++calls == 1) throw Error(code, "torn");
        return calls == 3;
      });
    });
    return said + "/" + std::to_string(returned) + "/" + std::to_string(calls);
  };
  EXPECT_EQ(answer(base / "busy", Exit::corrupt), "/3/3");
  EXPECT_EQ(answer(base / "busy", Exit::memory), "8 torn/0/1");
  EXPECT_EQ(answer(base / "quiet", Exit::corrupt), "4 torn/0/1");
  EXPECT_EQ(read_again(base / "quiet", [] { return false; }), 1);
  EXPECT_EQ(read_again(base / "busy", [] { return true; }), 1);
}

// 999 is followed by 1000; what is not exactly the name of a number is not a segment.
TEST(Segments, AreFoldersWithTheNamesThatARunGives) {
  const Folder base;
  RunFolder run(base / "run");
  for (const char* name : {"7", "07", "0007", "0010", "-01", "+01", "01a", " 01", "1e3", "2147483648",
                           "99999999999999999999", "003.old", ".part"})
    fs::create_directories(base / "run/segments/" + name);
  EXPECT_EQ(RunFolder::segments(run.path()), std::vector<int>{});
  for (const char* name : {"999", "010", "1001", "002"}) fs::create_directories(base / "run/segments/" + name);
  EXPECT_EQ(RunFolder::segments(run.path()), (std::vector<int>{2, 10, 999, 1001}));
  EXPECT_EQ(run.start_segment(), base / "run/segments/1002");
  EXPECT_EQ(RunFolder::segment_path("r", 0), "r/segments/000");
  fs::create_directories(base / "run/segments/2147483647");
  EXPECT_EQ(
      refusal([&] { run.start_segment(); }),
      "2 " + (base / "run") + "/segments has a folder of the last number that there is; remove it, no run made it");
}

TEST(SetAside, NeverTakesTheNameOfAnother) {
  const Folder base;
  const std::string path = base / "run.h5";
  for (const char* wanted : {".damaged", ".damaged-2", ".damaged-3"}) {
    std::ofstream(path) << wanted;
    EXPECT_EQ(set_aside(path), path + wanted);
    EXPECT_FALSE(fs::exists(path));
  }
  fs::create_symlink(base / "nowhere", path + ".damaged-4");  // a name that is taken, though nothing is behind it
  std::ofstream(path) << ".damaged-5";
  EXPECT_EQ(set_aside(path), path + ".damaged-5");
  for (const char* name : {".damaged", ".damaged-2", ".damaged-3", ".damaged-5"})
    EXPECT_EQ(files::read_text(path + name), name);
  EXPECT_NE(refusal([&] { set_aside(path); }).find("set aside " + path), std::string::npos);
}

// The number of a segment's chunks, counted one by one.
TEST(Segments, AreFullBeforeAnyFileHasTooManyChunks) {
  for (const auto& [flush, evaluate, sample, timeline] :
       {std::tuple(10, 0, 0, 0), std::tuple(10, 3, 0, 0), std::tuple(10, 100, 7, 0), std::tuple(4, 0, 0, 3),
        std::tuple(12, 5, 4, 6), std::tuple(1, 1, 1, 1)})
    for (const std::int64_t first : {0, 3 * flush}) {
      Config c;
      c.record.flush_every = flush, c.train.evaluate_every = evaluate;
      c.record.sample_every = sample, c.record.timeline_every = timeline;
      std::int64_t step = first;
      for (; !is_full(c, first, step); step += flush)
        for (int beyond = 1; beyond < flush; ++beyond) ASSERT_FALSE(is_full(c, first, step + beyond));
      const auto most = [&](int every, std::int64_t last) { return every ? last / every - first / every : 0; };
      for (const int every : {flush, evaluate, sample, timeline}) {
        EXPECT_LE(most(every, step), max_chunks) << flush << " " << every << " after " << first;
      }
      const std::int64_t next = step + flush;  // a chunk more could have been too many, give or take one
      EXPECT_GE(std::max({most(flush, next), most(evaluate, next), most(sample, next), most(timeline, next)}),
                max_chunks - 1);
    }
}

}  // namespace
