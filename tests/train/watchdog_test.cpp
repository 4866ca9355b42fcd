// Ranks that are stopped or killed end the job with one message and the records whole; who resumes it gets the bytes of
// a run that nothing stopped.
#include "support/program.hpp"

namespace switchyard {
namespace {

class WatchdogTest : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    grace_ = true;  // as users have it: without it mpirun kills the ranks that would tell
    make_tiny();
  }

  /// Of ranks of the job: the pid of the n-th, counted from 1.
  static std::string pid_of(int n) { return "$(pgrep -P $job | sed -n " + std::to_string(n) + "p)"; }

  /// Trains without end in r, and does `lines` from step 10 on; a minute later it is killed.
  Output train(const std::string& options, int ranks, const std::string& lines) const {
    return run("train tiny.yaml --run r train.steps=1000000 train.schedule=constant train.evaluate_every=4 " + options,
               ranks,
               from_step_10("sleep 0.2; " + lines) +
                   "; date +%s.%N >told; n=0; while kill -0 $job 2>/dev/null && [ $n -lt 600 ]; do sleep 0.1; "
                   "n=$((n + 1)); done; date +%s.%N >ended; pkill -KILL -P $job; kill -KILL $job 2>/dev/null");
  }

  double seconds() const { return std::stod(read(folder_ / "ended")) - std::stod(read(folder_ / "told")); }

  /// What stands in `r` is whole, and resumes to the bytes of `whole`.
  void expect_resumes(int ranks) {
    EXPECT_EQ(run("verify r").code, 0);
    const std::string log = read(folder_ / "r/segments/000/log.txt");
    const std::size_t last = log.rfind(" step=");  // of a row that was acknowledged
    ASSERT_NE(last, std::string::npos);
    const std::string steps = std::to_string((std::stoi(log.substr(last + 6)) / 2 + 2) * 2);
    const std::string options = " train.schedule=constant train.evaluate_every=4 train.steps=" + steps;
    ASSERT_EQ(run("train tiny.yaml --run whole" + options, 1).code, 0);
    const Output o = run("resume r layout.timeout=0 train.steps=" + steps, ranks);
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(run("verify r --digest").out, run("verify whole --digest").out);
    fs::remove_all(folder_ / "whole"), fs::remove_all(folder_ / "r");
  }
};

TEST_F(WatchdogTest, AStoppedRankEndsTheJobInTime) {
  for (const auto& [ranks, victim] : {std::pair(2, 2), std::pair(3, 1)}) {
    const std::string transport = ranks == 2 ? "window" : "mpi";
    const Output o = train("layout.timeout=1.5 layout.transport=" + transport, ranks, "kill -STOP " + pid_of(victim));
    EXPECT_EQ(o.code, 9) << o.err;
    EXPECT_EQ(count(o.err, " has made progress for 1.5 s (layout.timeout); the job ends"), 1) << o.err;
    const std::string rank = "  rank " + std::to_string(victim - 1) + " (process ";
    EXPECT_EQ(count(o.err, rank), 1) << o.err;
    EXPECT_EQ(count(o.err, " is stopped in "), 1) << o.err;
    EXPECT_GE(count(o.err, " waits for "), ranks - 1) << o.err;
    EXPECT_EQ(count(read(folder_ / "r/segments/000/log.txt"), " error switchyard: no rank of host "), 1);
    EXPECT_GT(seconds(), 1.4);
    EXPECT_LT(seconds(), 12.0) << "with a loaded machine";
    expect_resumes(ranks == 2 ? 3 : 1);
  }
}

// mpirun notices the end of a process as soon as the watchdog does, and its code comes first: 128 + 9.
TEST_F(WatchdogTest, AKilledRankEndsTheJobAtOnce) {
  for (const auto& [ranks, victim] : {std::pair(2, 1), std::pair(3, 2)}) {
    const Output o = train("layout.timeout=500", ranks, "kill -KILL " + pid_of(victim));
    EXPECT_TRUE(o.code == 137 || o.code == 9) << o.code << o.err;
    EXPECT_EQ(count(o.err, "switchyard: a rank has died; the job ends"), 1) << o.err;
    EXPECT_EQ(count(o.err, "  rank " + std::to_string(victim - 1) + " (process "), 1) << o.err;
    EXPECT_EQ(count(o.err, " has died in "), 1) << o.err;
    EXPECT_EQ(count(read(folder_ / "r/segments/000/log.txt"), " error switchyard: a rank has died"), 1);
    EXPECT_LT(seconds(), 12.0) << "with a loaded machine";
    expect_resumes(2);
  }
}

// A job that as a whole is stopped and continued, as by a person at a terminal, has not stood still.
TEST_F(WatchdogTest, AJobThatIsContinuedGoesOn) {
  const Output o = train("layout.timeout=1.5", 2,
                         "kill -STOP $(pgrep -P $job); sleep 3; kill -CONT $(pgrep -P $job); sleep 1; kill -USR2 $job");
  EXPECT_EQ(o.code, 75) << o.err;
  EXPECT_EQ(count(o.err, "layout.timeout"), 0) << o.err;
}

TEST_F(WatchdogTest, OfTimeoutZeroThereIsNone) {
  const Output o =
      train("layout.timeout=0", 2,
            "kill -STOP " + pid_of(2) + "; sleep 3; kill -CONT " + pid_of(2) + "; sleep 1; kill -KILL " + pid_of(2));
  EXPECT_EQ(o.code, 137) << o.err;
  EXPECT_EQ(count(o.err, "the job ends"), 0) << o.err;
  expect_resumes(2);
}

// Ends that ranks know of are theirs to tell.
TEST_F(WatchdogTest, IsQuietWhereARankSaysWhyItEnds) {
  const struct {
    const char* options;
    int code;
  } rows[] = {{"train.steps=4 layout.timeout=1", 0},
              {"train.learning_rate=1e30 train.clip=0", 3},
              {"train.steps=1000000 train.max_time=0.5", 75}};
  for (const auto& [options, code] : rows) {
    fs::remove_all(folder_ / "r");
    const Output o = run(std::string("train tiny.yaml --run r ") + options, 3);
    EXPECT_EQ(o.code, code) << options << o.err;
    EXPECT_EQ(count(o.err, "the job ends"), 0) << o.err;
  }
  // mpirun announces the end, and kills after a second: one rank after the other.
  const Output o = train("layout.timeout=500 train.evaluate_tokens=100000", 4, "kill -TERM $job");
  EXPECT_EQ(count(o.err, "the job ends"), 0) << o.err;
}

}  // namespace
}  // namespace switchyard
