// Standard output that breaks: the code is 5, one sentence says so, and files and runs are whole all the same.
#include "support/program.hpp"

namespace switchyard {
namespace {

class Lost : public Program {
 protected:
  /// Runs a command of this folder's with its standard output sent to `where`.
  Output run_into(const std::string& arguments, const std::string& where, int ranks = 0) {
    write("into", "#!/bin/sh\nexec \"$@\" " + where + "\n");
    fs::permissions(folder_ / "into", fs::perms::owner_all);
    wrapper_ = "./into";
    const Output o = run(arguments, ranks);
    wrapper_.clear();
    return o;
  }
};

TEST_F(Lost, EveryCommandMissesItsOutput) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r").code, 0);
  write("sweep.yaml", "configuration: tiny.yaml\nexperts: [2]\ntop_k: [1]\n");
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  for (const char* arguments :
       {"--help", "--version", "train --help", "schema", "show tiny.yaml", "show --reference", "check tiny.yaml",
        "verify r", "verify r --digest", "data check corpus", "generate r --prompt line --tokens 2", "resume r",
        "sweep status s", "sweep run s", "data generate --tasks 4 --samples 100 --out g",
        "bench step tiny.yaml model.vocabulary=257 --warmup 0 --repetitions 1"}) {
    const Output o = run_into(arguments, ">/dev/full");
    EXPECT_EQ(o.code, 5) << arguments << ": " << o.err;
    EXPECT_EQ(count(o.err, "standard output"), 1) << arguments << ": " << o.err;
    EXPECT_EQ(count(o.err, "No space left on device"), 1) << arguments << ": " << o.err;
  }
  EXPECT_TRUE(fs::exists(folder_ / "g/generator.json")) << "files are whole, whatever became of the words";
}

TEST_F(Lost, ClosedPipesAndLimitsAreErrorsNotSignals) {
  for (const auto& [where, why] : {std::pair(">&-", "it is closed"), std::pair("| true", "Broken pipe"),
                                   std::pair(">/dev/full 2>&-", ""), std::pair("<&- >&- 2>&-", "")}) {
    Output o = run_into("schema", std::string(where));
    if (std::string(where) == "| true") {  // the code of a pipe is that of its end
      write("into", "#!/bin/sh\n{ \"$@\"; echo $? >code; } | sleep 0\n");
      wrapper_ = "./into";
      o = run("schema");
      wrapper_.clear();
      o.code = std::stoi(read(folder_ / "code"));
    }
    EXPECT_EQ(o.code, 5) << where << ": " << o.err;
    EXPECT_EQ(count(o.err, why), *why ? 1 : count(o.err, "")) << where << ": " << o.err;
  }
  write("limited", "#!/bin/bash\nulimit -f 1\nexec \"$@\" >limited.txt\n");
  fs::permissions(folder_ / "limited", fs::perms::owner_all);
  wrapper_ = "./limited";
  const Output o = run("show --reference");
  EXPECT_EQ(o.code, 5) << o.err;
  EXPECT_EQ(count(o.err, "File too large"), 1) << o.err;
}

// A wrong call stays a wrong call, and a command that fails keeps its code.
TEST_F(Lost, OtherCodesAreKept) {
  EXPECT_EQ(run_into("trian x", ">/dev/full").code, 2);
  EXPECT_EQ(run_into("verify missing", ">&-").code, 2);
}

TEST_F(Lost, ARunGoesOnWithoutItsLog) {
  make_tiny();
  const Output o = run_into("train tiny.yaml --run r", ">/dev/full", 2);
  EXPECT_EQ(o.code, 5) << o.err;
  EXPECT_EQ(count(o.err, "the log on standard output was lost"), 1) << o.err;
  const std::string log = read(folder_ / "r/segments/000/log.txt");
  EXPECT_EQ(count(log, "standard output was lost"), 1) << log;
  EXPECT_EQ(count(log, "finished 4 steps"), 1) << log;
  EXPECT_EQ(run_into("resume r train.steps=1000000 train.max_time=0.001", ">&-").code, 75) << "it must come back";
  EXPECT_EQ(run("verify r").code, 0);
}

TEST_F(Lost, ABenchmarkMissesItsFile) {
  make_tiny();
  const Output o = run("bench step tiny.yaml model.vocabulary=257 --warmup 0 --repetitions 1 --json /dev/full");
  EXPECT_EQ(o.code, 5) << o.err;
  EXPECT_EQ(count(o.err, "/dev/full (No space left on device)"), 1) << o.err;
}

}  // namespace
}  // namespace switchyard
