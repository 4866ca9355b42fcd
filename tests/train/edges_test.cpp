// What the machine refuses (memory, rights) and when it asks to stop: codes of the table, and never a signal's.
#include "support/program.hpp"

namespace switchyard {
namespace {

class Edges : public Program {
 protected:
  /// Runs a command through a script of lines before it.
  Output run_after(const std::string& lines, const std::string& arguments, int ranks = 0) {
    write("after", "#!/bin/bash\n" + lines + "\"$@\"\n");
    fs::permissions(folder_ / "after", fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
    wrapper_ = "./after";
    const Output o = run(arguments, ranks);
    wrapper_.clear();
    return o;
  }
};

#ifndef __SANITIZE_ADDRESS__  // it wants terabytes
TEST_F(Edges, MemoryThatEndsIsSaid) {
  if (run_after("ulimit -v 400000\nexec ", "--version").code == 127) GTEST_SKIP() << "the loader alone needs more";
  make_tiny();
  const std::string large = " model.width=2048 model.hidden=8192";
  for (const int ranks : {0, 2}) {
    const Output o = run_after("ulimit -v 400000\nexec ", "train tiny.yaml --run r" + large, ranks);
    EXPECT_EQ(o.code, 8) << o.err;
    EXPECT_GE(count(o.err, "failed to allocate"), 1) << o.err;
    EXPECT_GE(count(o.err, "MiB"), 1) << "how much it was: " << o.err;
    EXPECT_GE(count(o.err, "; take more ranks, nodes or memory"), 1) << o.err;
    fs::remove_all(folder_ / "r");
  }
  ASSERT_EQ(run("train tiny.yaml --run s").code, 0);
  for (int limit = 50000; limit < 125000; limit += 15000) {
    const Output o = run_after("ulimit -v " + std::to_string(limit) + "\nexec ", "generate s --prompt l --tokens 1");
    const bool unloaded = o.code == 127 && count(o.err, "loading shared libraries") == 1;  // ended before it began
    EXPECT_TRUE(o.code == 0 || o.code == 8 || unloaded) << limit << ": " << o.code << o.err;
  }
}
#endif

// As another user, who may not write here, nor read what was made unreadable.
TEST_F(Edges, RightsAreForTheUserToMend) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r").code, 0);
  write("sweep.yaml", "configuration: tiny.yaml\nexperts: [2]\ntop_k: [1]\n");
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  fs::copy(folder_ / "r", folder_ / "closed", fs::copy_options::recursive);
  for (const char* closed : {"closed/checkpoints", "closed/segments/000/run.h5"})
    fs::permissions(folder_ / closed, fs::perms::owner_read);
  if (geteuid() != 0) fs::permissions(folder_ / "s", fs::perms::owner_read | fs::perms::owner_exec);
  const std::string user = "exec " + as_another();
  if (run_after(user, "--version").code != 0) GTEST_SKIP() << "no other user to run as";
  Output o = run_after(user, "sweep status s");
  EXPECT_EQ(o.code, 2) << o.err;
  EXPECT_EQ(count(o.err, "results.h5"), 1) << o.err;
  EXPECT_EQ(count(o.out, "finished"), 2) << "the table stands all the same: " << o.out;
  for (const auto& [arguments, place] :
       {std::pair("verify closed", "closed/"), std::pair("verify closed --digest", "closed/"),
        std::pair("generate closed --prompt x", "closed/segments/000/run.h5"), std::pair("resume closed", "closed/"),
        std::pair("sweep run s", "s/lock"), std::pair("train tiny.yaml --run /proc/r", "/proc/r")}) {
    o = run_after(user, arguments);
    EXPECT_EQ(o.code, 2) << arguments << ": " << o.err;
    EXPECT_EQ(count(o.err, place), 1) << arguments << ": " << o.err;
  }
  for (const char* closed : {"closed/checkpoints", "s"}) fs::permissions(folder_ / closed, fs::perms::owner_all);
}

// What cannot be looked at is there: a resume must not begin anew beside it, nor take its place.
TEST_F(Edges, ACheckpointThatCannotBeLookedAtIsNotMissing) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r").code, 0);
  const std::string user = "exec " + as_another();
  if (run_after(user, "--version").code != 0) GTEST_SKIP() << "no other user to run as";
  give_to_another();
  const fs::path newest = folder_ / "r/checkpoints/step-00000004";
  fs::permissions(newest, fs::perms::none);
  for (const char* arguments :
       {"resume r train.steps=6", "generate r --prompt l --tokens 1", "verify r", "verify r --digest"}) {
    const Output o = run_after(user, arguments);
    EXPECT_EQ(o.code, 2) << arguments << ": " << o.err;
    EXPECT_GE(count(o.err, "cannot look at r/checkpoints/step-00000004/manifest.json (Permission denied)"), 1)
        << arguments << ": " << o.err;
  }
  fs::permissions(newest, fs::perms::owner_all);
  EXPECT_TRUE(fs::exists(newest / "manifest.json"));
  EXPECT_EQ(run("verify r").code, 0);
}

// A file in the place of the checkpoints: a resume that began anew beside it would supersede the rows for good.
TEST_F(Edges, AFileInPlaceOfTheCheckpointsIsRefused) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r").code, 0);
  const std::string digest = run("verify r --digest").out;
  for (const char* part : {"r/checkpoints", "r/segments"}) {
    fs::rename(folder_ / part, folder_ / "kept");
    write(part, "");
    const Output o = run("resume r train.steps=6");
    EXPECT_EQ(o.code, 2) << o.err;
    EXPECT_EQ(count(o.err, std::string(part) + " is no folder; move it away, or put the folder back"), 1) << o.err;
    fs::remove(folder_ / part);
    fs::rename(folder_ / "kept", folder_ / part);
    EXPECT_EQ(run("verify r --digest").out, digest) << "nothing was touched";
  }
}

// Numbers in names that no run of ours has are other people's names.
TEST_F(Edges, NumbersOfFoldersMayBeAnything) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r").code, 0);
  fs::create_directories(folder_ / "r/segments/99999999999999999999");
  fs::create_directories(folder_ / "r/checkpoints/step-99999999999999999999");
  write("r/checkpoints/step-99999999999999999999/manifest.json", "{}");
  for (const char* command : {"verify r", "verify r --digest", "resume r train.steps=5", "generate r --prompt l"})
    EXPECT_EQ(run(command).code, 0) << command;
  EXPECT_TRUE(fs::exists(folder_ / "r/segments/001"));
}

// Signals without end, from the tenth step until the process is gone: none of them may kill what already stops.
TEST_F(Edges, ASecondSignalKillsNothing) {
  make_tiny();
  for (const auto& [signal, ranks] : {std::pair("HUP", 0), std::pair("TERM", 0), std::pair("TERM", 2)}) {
    fs::remove_all(folder_ / "r");
    const std::string all = std::string("kill -") + signal + " $(cut -d' ' -f2 r/lock)";
    const Output o =
        run("train tiny.yaml --run r train.steps=1000000 train.evaluate_every=0", ranks,
            from_step_10("n=0; while " + all + " && [ $n -lt 60000 ]; do sleep 0.001; n=$((n + 1)); done") +
                " 2>/dev/null");
    EXPECT_EQ(o.code, 75) << signal << " on " << ranks << ": " << o.err;
    EXPECT_EQ(count(read(folder_ / "r/segments/000/log.txt"), std::string(": SIG") + signal), 1);
    EXPECT_EQ(run("verify r").code, 0);
  }
}

TEST_F(Edges, AnIgnoredHangUpStaysIgnored) {
  make_tiny();
  wrapper_ = "nohup";
  const Output o = run("train tiny.yaml --run r train.steps=400 train.evaluate_every=0 train.checkpoint_every=0", 0,
                       from_step_10("kill -HUP $job"));
  wrapper_.clear();
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(read(folder_ / "r/segments/000/log.txt"), "finished 400 steps"), 1);
}

// Processes without a launcher would share one folder of Open MPI's, which each removes as it ends, also while another
// makes its own part of it: two tasks of a sweep that start together. Here a file stands where it would be.
TEST_F(Edges, AProcessAloneNeedsNoFolderOfTheSession) {
  make_tiny();
  wrapper_ = "env OMPI_MCA_orte_tmpdir_base=" + (folder_ / "tiny.yaml").string();
  const Output o = run("train tiny.yaml --run r");
  EXPECT_EQ(o.code, 0) << o.err;
}

}  // namespace
}  // namespace switchyard
