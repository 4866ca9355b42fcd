// Sweeps whose files are damaged, and two that meet.
#include "support/program.hpp"

namespace switchyard {
namespace {

class SweepEdges : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    make_tiny();
    write("sweep.yaml", "configuration: tiny.yaml\nset: [train.schedule=constant]\nexperts: [2, 4]\ntop_k: [1]\n");
  }
  std::string task(int experts) const { return "s/tasks/E" + std::to_string(experts) + "-k1-g1-seed1"; }
};

TEST_F(SweepEdges, ADamagedCheckpointFallsBackAndTheOthersRun) {
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  const std::string whole = run("verify " + task(2) + " --digest").out;
  const std::string state = task(2) + "/checkpoints/step-00000004/state.json";
  for (const std::string& text : {std::string("{\"step\": 4"), std::string()}) {
    write(state, text);
    Output o = run("sweep status s");
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(count(o.out, "damaged   2/4  " + state), 1) << o.out;
    EXPECT_EQ(count(o.out, "4 tasks") + count(o.out, "finished  4/4"), 1) << o.out;
    o = run("sweep run s");
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(count(o.out, "finished  4/4"), 2) << o.out;
    EXPECT_EQ(run("verify " + task(2) + " --digest").out, whole);
  }
}

TEST_F(SweepEdges, OneTaskWithoutRepairDoesNotStopTheOthers) {
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  for (const char* step : {"2", "4"}) write(task(2) + "/checkpoints/step-0000000" + step + "/state.json", "x");
  fs::remove_all(folder_ / task(4));
  Output o = run("sweep run s");
  EXPECT_EQ(o.code, 4) << o.err;
  EXPECT_EQ(count(o.out, "failed    0/4  exit code 4: " + task(2) + "/checkpoints/"), 1) << o.out;
  EXPECT_EQ(count(o.out, "finished  4/4"), 1) << o.out;

  fs::remove_all(folder_ / task(2));
  write(task(2), "a file in the place of a run");
  o = run("sweep run s");
  EXPECT_EQ(o.code, 2) << o.err;
  EXPECT_EQ(count(o.out, "damaged   0/4  " + task(2) + " is no folder; move it away"), 1) << o.out;

  fs::remove(folder_ / task(2)), fs::remove(folder_ / (task(2) + ".log"));
  fs::create_directory(folder_ / (task(2) + ".log"));
  o = run("sweep run s");
  EXPECT_EQ(o.code, 2) << o.err;
  EXPECT_EQ(count(o.out, "failed: cannot open " + task(2) + ".log (Is a directory)"), 1) << o.out;
  EXPECT_EQ(count(o.out, "finished  4/4"), 1) << o.out;
}

// Nothing is known of a task that cannot be looked at: it is neither trained again nor dropped without a word.
TEST_F(SweepEdges, ATaskThatCannotBeLookedAtIsSaid) {
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  wrapper_ = as_another();
  if (run("--version").code != 0) GTEST_SKIP() << "no other user to run as";
  give_to_another();
  const fs::path newest = folder_ / task(2) / "checkpoints/step-00000004";
  fs::permissions(newest, fs::perms::none);
  for (const char* command : {"sweep status s", "sweep run s"}) {
    const Output o = run(command);
    EXPECT_EQ(o.code, 2) << command << ": " << o.err;
    EXPECT_EQ(count(o.err, "results.h5 leaves out tasks/E2-k1-g1-seed1: cannot look at"), 1)
        << command << ": " << o.err;
    EXPECT_EQ(count(o.out, "started"), 0) << command << ": " << o.out;
  }
  fs::permissions(newest, fs::perms::owner_all);
  wrapper_.clear();
}

TEST_F(SweepEdges, NothingIsWrittenThroughALink) {
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  fs::create_directory(folder_ / "outside");
  fs::remove_all(folder_ / task(2));
  fs::create_directory_symlink(folder_ / "outside", folder_ / task(2));
  Output o = run("sweep run s");
  EXPECT_EQ(o.code, 2) << o.err;
  EXPECT_EQ(count(o.out, task(2) + " is a link (nothing is written outside of s)"), 2)
      << "in its line and in the table: " << o.out;
  EXPECT_EQ(count(o.out, "finished  4/4"), 1) << o.out;
  fs::remove_all(folder_ / "s/tasks");
  fs::create_directory_symlink(folder_ / "outside", folder_ / "s/tasks");
  for (const char* command :
       {"sweep run s", "sweep run sweep.yaml --out s", "sweep run s --task 0", "sweep status s"}) {
    o = run(command);
    EXPECT_EQ(o.code, 2) << command;
    EXPECT_EQ(count(o.err, "s/tasks is a link"), 1) << command << ": " << o.err;
  }
  EXPECT_TRUE(fs::is_empty(folder_ / "outside"));
}

TEST_F(SweepEdges, AFinishedTaskThatCannotBeReadIsLeftOutOfTheResults) {
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  const std::string config = read(folder_ / task(2) / "config.yaml");
  write(task(2) + "/config.yaml", "moe: {");
  Output o = run("sweep status s");
  EXPECT_EQ(o.code, 4) << o.err;
  EXPECT_EQ(count(o.err, "results.h5 leaves out tasks/E2-k1-g1-seed1: " + task(2) + "/config.yaml has lost its end"), 1)
      << o.err;
  EXPECT_EQ(count(o.out, "s/results.h5: 2 rows"), 1) << "those of the other task: " << o.out;
  write(task(2) + "/config.yaml", config);
  fs::resize_file(folder_ / task(2) / "segments/000/run.h5", 3000);
  o = run("sweep run s");
  EXPECT_EQ(o.code, 4) << o.err;
  EXPECT_EQ(count(o.err, "results.h5 leaves out tasks/E2-k1-g1-seed1: "), 1) << o.err;
  EXPECT_EQ(count(o.out, "s/results.h5: 2 rows"), 1) << o.out;
  for (const auto& entry : fs::directory_iterator(folder_ / "s"))
    EXPECT_EQ(count(entry.path().filename().string(), ".tmp"), 0) << entry.path();
}

TEST_F(SweepEdges, ADamagedSweepFileIsNamed) {
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  const std::string text = read(folder_ / "s/sweep.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    return changed.replace(changed.find(from), from.size(), to);
  };
  for (const std::string& damaged :
       {text.substr(0, text.size() / 2), std::string(), with("\"E2-k1-g1-seed1\"", "\"../../out\""),
        with("\"experts\": 2", "\"experts\": null"), with("\"experts\": 2", "\"experts\": 0")}) {
    write("s/sweep.json", damaged);
    for (const char* command : {"sweep status s", "sweep run s", "sweep run s --task 0"}) {
      const Output o = run(command);
      EXPECT_EQ(o.code, 4) << command << ": " << o.err << damaged;
      EXPECT_EQ(count(o.err, "s/sweep.json is damaged ("), 1) << o.err;
    }
  }
}

TEST_F(SweepEdges, TheSecondQueueOfAFolderIsRefused) {
  write("both",
        "#!/bin/sh\n\"$@\" >out1 2>err1 & job=$!\n\"$@\" >out2 2>err2; echo $? >code2\nwait $job; echo $? >code1\n");
  fs::permissions(folder_ / "both", fs::perms::owner_all);
  for (int trial = 0; trial < 2; ++trial) {
    fs::remove_all(folder_ / "s");
    wrapper_ = "./both";
    run("sweep run sweep.yaml --out s");
    wrapper_.clear();
    const std::string codes = read(folder_ / "code1") + read(folder_ / "code2");
    EXPECT_TRUE(codes == "0\n6\n" || codes == "6\n0\n") << codes << read(folder_ / "err1") << read(folder_ / "err2");
    EXPECT_EQ(count(read(folder_ / "err1") + read(folder_ / "err2"), "s is in use (by process "), 1);
  }
  EXPECT_EQ(run("sweep run sweep.yaml --out s train.steps=100").code, 2) << "another sweep";
  EXPECT_EQ(run("sweep run s --task 0").code, 0) << "of an array, beside whom ever";
  for (const char* empty : {"--out ''", "--launch ' '"})
    EXPECT_EQ(run(std::string("sweep run sweep.yaml ") + empty).code, 2) << empty;
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

}  // namespace
}  // namespace switchyard
