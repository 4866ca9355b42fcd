// Sweeps through the command line: what was interrupted goes on, what failed is told, and the results are the same.
#include <array>
#include <cmath>
#include <numeric>

#include "record/record_reader.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

class Sweep : public Program {
 protected:
  void make_sweep(const std::string& more = "") const {
    make_tiny();
    write("sweep.yaml",
          "configuration: tiny.yaml\nset: [train.steps=6]\nexperts: [1, 2, 4]\ntop_k: [1]\nseeds: [1, 2]\n" + more);
  }
  std::string results(const std::string& folder) const {
    const Output o = run("verify " + folder + "/results.h5 --digest");
    EXPECT_EQ(o.code, 0) << o.err;
    return o.out;
  }
};

TEST_F(Sweep, RunsSkipsAndIsTheSameOnOtherRanks) {
  make_sweep();
  const Output first = run("sweep run sweep.yaml --out one --jobs 2");
  ASSERT_EQ(first.code, 0) << first.err << read(folder_ / "one/tasks/E4-k1-g1-seed1.log");
  EXPECT_EQ(count(first.out, ": finished after"), 6) << first.out;
  EXPECT_EQ(count(first.out, "6 tasks: 6 finished"), 1);
  EXPECT_EQ(count(first.out, "one/results.h5: 18 rows"), 1);
  EXPECT_EQ(run("verify one/results.h5").code, 0);
  const record::RecordReader table((folder_ / "one/results.h5").string());
  const auto parts = table.read<double>("block_loss", 0, 18), loss = table.read<double>("loss_validation", 0, 18);
  const std::size_t blocks = parts.size() / loss.size();
  for (std::size_t row = 0; row < loss.size(); ++row)  // 128 held-out tokens in parts of two
    EXPECT_NEAR(std::accumulate(&parts[row * blocks], &parts[row * blocks] + blocks, 0.0) / double(blocks), loss[row],
                1e-6 * loss[row]);
  EXPECT_EQ(count(run("sweep run one").out, "finished already"), 6);
  EXPECT_EQ(count(run("sweep run one --task 3", 2).out, "task 3 E1-k1-g1-seed2: finished already"), 1);
  write("sweep.yaml", read(folder_ / "sweep.yaml") + "ranks: 2\n");
  EXPECT_EQ(run("sweep run sweep.yaml --out two --launch 'mpirun --oversubscribe -n {ranks}'").code, 0);
  EXPECT_EQ(results("two"), results("one"));
}

// A signal to the queue, then kill -9 of the queue's task: afterwards the sweep goes on to the same results.
TEST_F(Sweep, GoesOnAfterSignalsAndKills) {
  make_sweep();
  write("long.yaml", "configuration: tiny.yaml\nset: [train.steps=200]\nexperts: [1, 2, 4]\ntop_k: [1]\n");
  ASSERT_EQ(run("sweep run long.yaml --out whole").code, 0);
  const std::string wait =
      "while ! grep -q 'step=10 ' broken/tasks/E4-*/segments/000/log.txt 2>/dev/null; do sleep 0.05; done; ";
  const Output signal = run("sweep run long.yaml --out broken", 0, wait + "kill -TERM $job");
  EXPECT_EQ(signal.code, 75) << signal.out << signal.err;
  EXPECT_EQ(count(signal.out, "stopped early"), 1) << signal.out;
  EXPECT_EQ(count(signal.out, "3 tasks: 1 finished, 1 stopped, 1 waiting"), 1) << signal.out;
  const std::string later = "while ! test -d broken/tasks/E2-*/segments/000; do sleep 0.05; done; ";
  const Output killed = run("sweep run broken", 0, later + "kill -KILL $(cut -d' ' -f2 broken/tasks/E2-*/lock)");
  EXPECT_EQ(killed.code, 137) << killed.out << killed.err;
  EXPECT_EQ(count(killed.out, "failed after"), 1) << killed.out;
  EXPECT_EQ(count(killed.out, "3 tasks: 2 finished, 1 stopped"), 1) << killed.out;
  EXPECT_EQ(run("sweep run broken").code, 0);
  EXPECT_EQ(results("broken"), results("whole"));
}

// A task that fails says why in the table; the others go on.
TEST_F(Sweep, AFailureIsToldAndDoesNotStopTheOthers) {
  make_sweep("arms: {good: , bad: [train.learning_rate=1e30]}\n");
  const Output o = run("sweep run sweep.yaml --out s");
  EXPECT_EQ(o.code, 3) << o.out;
  EXPECT_EQ(count(o.out, ": finished after"), 6) << o.out;
  const Output status = run("sweep status s");
  EXPECT_EQ(status.code, 0);
  EXPECT_EQ(count(status.out, "12 tasks: 6 finished, 6 failed"), 1) << status.out;
  EXPECT_EQ(count(status.out, "exit code 3: "), 6) << status.out;
}

TEST_F(Sweep, WrongCallsSayWhy) {
  make_sweep();
  ASSERT_EQ(run("sweep run sweep.yaml --out s").code, 0);
  for (const auto& [arguments, message] :
       {std::pair("sweep status .", ".: no sweep there"),
        std::pair("sweep run missing.yaml", "missing.yaml: cannot be read"),
        std::pair("sweep run s --task 99", "--task is 99; the sweep has tasks 0 to 5"),
        std::pair("sweep run s train.steps=9", "whose tasks are fixed"),
        std::pair("sweep run sweep.yaml --out s train.warmup=2", "s holds another sweep"),
        std::pair("sweep submit sweep.yaml --out t", "slurm/array.sbatch: no such file")}) {
    const Output o = run(arguments);
    EXPECT_EQ(o.code, 2) << arguments << ": " << o.err;
    EXPECT_EQ(count(o.err, message), 1) << arguments << ": " << o.err;
  }
  EXPECT_FALSE(fs::exists(folder_ / "t"));
}

// A branch is the run of its schedule that was never cut; what is told of a trunk is its own.
TEST_F(Sweep, BranchesLeaveTheirTrunks) {
  make_tiny();
  write("sweep.yaml",
        "configuration: tiny.yaml\nset: [train.evaluate_every=2]\nexperts: [2, 4]\ntop_k: [1]\nrate_exponent: -0.5\n"
        "branches: {steps: [8, 12], decay_share: 0.5}\n");
  const Output o = run("sweep run sweep.yaml --out s --jobs 2");
  ASSERT_EQ(o.code, 0) << o.out << o.err;
  EXPECT_EQ(count(o.out, "6 tasks: 6 finished"), 1) << o.out;
  EXPECT_EQ(run("verify s/results.h5").code, 0);
  for (const char* task : {"trunk", "s8", "s12"})
    EXPECT_EQ(run(std::string("verify s/tasks/E4-k1-g1-seed1-") + task).code, 0) << task;
  EXPECT_EQ(count(read(folder_ / "s/tasks/E4-k1-g1-seed1-s8/segments/000/log.txt"), "starting from step 4"), 1);
  ASSERT_EQ(run("train tiny.yaml --run straight train.evaluate_every=2 moe.top_k=1 moe.hidden=32 train.steps=8 "
                "train.schedule=wsd train.decay_share=0.5 train.learning_rate=0.0005 train.min_learning_rate=0.00005")
                .code,
            0);
  const std::string of_branch = run("verify --digest s/tasks/E4-k1-g1-seed1-s8/checkpoints/step-00000008").out;
  EXPECT_EQ(of_branch, run("verify --digest straight/checkpoints/step-00000008").out);
  const record::RecordReader table((folder_ / "s/results.h5").string());
  const std::int64_t rows = table.length("row");
  EXPECT_EQ(rows, 2 * (3 + 2 + 3));  // evaluations of six steps, and of the last four and six
  const auto branch = table.read<std::array<char, 32>>("branch", 0, rows);
  const auto step = table.read<std::int64_t>("step", 0, rows), steps = table.read<std::int64_t>("train.steps", 0, rows);
  const auto rate = table.read<double>("train.learning_rate", 0, rows),
             loss = table.read<double>("loss_train", 0, rows);
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::string name(branch[r].data());
    EXPECT_EQ(steps[r], name == "trunk" ? 6 : name == "s8" ? 8 : 12) << name;
    EXPECT_GT(step[r], name == "trunk" ? 0 : name == "s8" ? 4 : 6);
    EXPECT_NEAR(rate[r], 1e-3 / (table.read<std::int32_t>("num_experts", r, 1)[0] == 4 ? 2.0 : std::sqrt(2.0)), 1e-18);
    EXPECT_GT(loss[r], 1.0);
  }
}

// To a batch system the branches are a second array, which waits for the first.
TEST_F(Sweep, SubmitsTrunksThenBranches) {
  make_tiny();
  write("sweep.yaml", "configuration: tiny.yaml\nexperts: [2, 4]\ntop_k: [1]\nbranches: {steps: [8, 12]}\n");
  write("sbatch", "#!/bin/sh\necho \"$*\" >>calls\necho \"$(wc -l <calls)1;cluster\"\n");
  write("job", "");
  fs::permissions(folder_ / "sbatch", fs::perms::owner_all);
  wrapper_ = "env PATH=" + folder_.string() + ":/usr/bin:/bin";
  const Output array = run("sweep submit sweep.yaml --out s --job job --sbatch=--array=0-9%2");
  EXPECT_EQ(array.code, 2);
  EXPECT_EQ(count(array.err, "the sweep has branches, which are an array of their own"), 1) << array.err;
  const Output o = run("sweep submit sweep.yaml --out s --job job --sbatch=--time=1");
  wrapper_.clear();
  EXPECT_EQ(o.code, 0) << o.err;
  const std::string end = " --ntasks=1 --time=1 job " + (folder_ / "s").string() + "\n",
                    after = " --ntasks=1 --dependency=afterany:11 --time=1 job " + (folder_ / "s").string() + "\n";
  EXPECT_EQ(read(folder_ / "calls"), "--parsable --array=0,3" + end + "--parsable --array=1,2,4,5" + after);
  EXPECT_EQ(count(o.out, "2 tasks of s"), 1) << o.out;
  EXPECT_EQ(count(o.out, "4 tasks of s"), 1) << o.out;
}

}  // namespace
}  // namespace switchyard
