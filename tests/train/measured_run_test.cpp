// links: bench
// Whole runs that leave lanes and polls to measurements, and that are held against a prediction.
#include <cmath>
#include <cstring>
#include <numeric>
#include <regex>

#include "hdf5/hdf5.hpp"
#include "plan/machine.hpp"
#include "support/program.hpp"
#include "train/forecast.hpp"

namespace switchyard {
namespace {

class MeasuredRun : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    make_tiny();
    write("m.yaml", plan::to_yaml(plan::round_machine()));
  }
  std::string log(const std::string& name, const char* segment = "000") const {
    return read(folder_ / name / "segments" / segment / "log.txt");
  }
  /// The configuration that the records of a segment keep.
  std::string recorded(const std::string& name, const char* segment = "000") const {
    const std::string file = (folder_ / name / "segments" / segment / "run.h5").string();
    return hdf5::text_attribute(hdf5::File::open(file).id(), "config", file);
  }
  std::string digest(const std::string& name) const {
    const Output o = run("verify " + name);
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(count(o.out + o.err, "layout.lanes"), 0) << o.out << o.err;
    return run("verify " + name + " --digest").out;
  }
  /// Sum over the steps from `first`, counted from 1.
  double sum(const std::string& name, const char* variable, std::size_t first) const {
    const hdf5::File file = hdf5::File::open((folder_ / name / "segments/000/run.h5").string());
    const auto dataset = file.open_dataset(variable);
    const hdf5::Extent extent = hdf5::extent_of(dataset, variable);
    std::vector<double> values(static_cast<std::size_t>(extent[0]));
    hdf5::read_rows(dataset, hdf5::Type::f64, 0, extent[0], values.data(), variable);
    return std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(first) - 1, values.end(), 0.0);
  }
};

constexpr const char* measured = " layout.schedule=interleaved layout.lanes=0 train.grains=4 train.schedule=constant";

// What was measured is in the log and in the records; config.yaml has what was asked for, so that a resume on other
// ranks measures again, or takes what it is told. No bit depends on it.
TEST_F(MeasuredRun, LanesAreChosenAtEveryStartAndResumeAnywhere) {
  ASSERT_EQ(run("train tiny.yaml --run whole train.grains=4 train.schedule=constant train.steps=8", 1).code, 0);
  Output o = run(std::string("train tiny.yaml --run r") + measured, 2);
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string said = log("r"), line = "lanes: ";
  EXPECT_EQ(count(said, " by measurement (1: "), 1) << said;
  const std::string lanes = said.substr(said.find(line) + line.size(), 1);
  EXPECT_NE(std::string("12").find(lanes), std::string::npos) << said;
  EXPECT_EQ(count(recorded("r"), "  lanes: " + lanes + " "), 1);
  EXPECT_EQ(count(recorded("r"), "(measured before the run)"), 1);
  EXPECT_EQ(count(read(folder_ / "r/config.yaml"), "  lanes: 0 "), 1);
  EXPECT_EQ(count(said, "rows on their way were looked after every "), 1) << said;
  o = run("resume r train.steps=5", 4);  // one grain a rank
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(log("r", "001"), "lanes: 1 without a measurement"), 1) << log("r", "001");
  o = run("resume r train.steps=6 layout.lanes=4 layout.poll=50", 1);
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(log("r", "002"), "lanes: "), 0);
  EXPECT_EQ(count(recorded("r", "002"), "  lanes: 4 "), 1);
  EXPECT_EQ(count(read(folder_ / "r/config.yaml"), "  poll: 50 "), 1) << "a fixed interval stays one";
  o = run("resume r train.steps=8 layout.lanes=0", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(log("r", "003"), " by measurement (1: "), 1);
  EXPECT_EQ(count(log("r", "003"), "rows on their way were looked after"), 0) << "every 50 us";
  EXPECT_EQ(digest("r"), digest("whole"));
  o = run("resume r", 2);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("has its 8 steps already"), std::string::npos) << o.out;
}

TEST_F(MeasuredRun, BitsOfOneLayoutNeedTheirLanes) {
  for (const char* command : {"train tiny.yaml --run r", "check tiny.yaml --ranks 2", "bench step tiny.yaml"}) {
    const Output o = run(std::string(command) + measured + " train.determinism=run");
    EXPECT_EQ(o.code, 2) << o.err;
    EXPECT_EQ(count(o.err, "layout.lanes: is 0 with train.determinism run"), 1) << o.err;
    EXPECT_FALSE(fs::exists(folder_ / "r"));
  }
}

TEST_F(MeasuredRun, ARankThatStopsInTheMeasurementIsNamed) {
  grace_ = true;
  const Output o = run(std::string("train tiny.yaml --run r layout.timeout=2 layout.delay=200000") + measured, 2,
                       "sleep 8; kill -STOP $(pgrep -P $job | sed -n 2p); n=0; while kill -0 $job 2>/dev/null && "
                       "[ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done; pkill -KILL -P $job; kill -KILL $job "
                       "2>/dev/null");
  EXPECT_EQ(o.code, 9) << o.err;
  EXPECT_GE(count(o.err, "the measurement of layout.lanes "), 1) << o.err;
  EXPECT_FALSE(fs::exists(folder_ / "r")) << "nothing of the run was begun";
}

TEST_F(MeasuredRun, IsHeldAgainstItsPrediction) {
  const std::string options = " train.steps=12 layout.schedule=interleaved layout.lanes=2 layout.machine=m.yaml";
  Output o = run("train tiny.yaml --run r layout.ranks_per_node=2" + options, 4);
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string said = log("r"), machine = "(layout.machine " + (folder_ / "m.yaml").string() + ")";
  EXPECT_EQ(count(said, "plan predicts steps of "), 1) << said;
  EXPECT_EQ(count(said, "steps 4-12 took "), 1) << said;
  EXPECT_EQ(count(said, machine), 2) << said;
  char share[16];
  std::snprintf(share, sizeof share, "%.2f",
                1.0 - sum("r", "communication_exposed", 4) / sum("r", "communication_busy", 4));
  EXPECT_EQ(count(said, std::string(" with a hidden share η of ") + share + ", plan predicted "), 1) << share << "\n"
                                                                                                     << said;
  const double predicted = std::stod(said.substr(said.find("hidden share η of ") + std::strlen("hidden share η of ")));
  const double lacks = predicted - std::stod(share), allowed = train::ForecastWatch::tolerance;
  if (std::abs(lacks - allowed) > 0.02) {
    EXPECT_EQ(count(said, " warning steps 4-12 took "), lacks > allowed) << said;
  }
  // Of the same prediction as the command.
  write("c.yaml", read(folder_ / "tiny.yaml") + "layout: {schedule: interleaved, lanes: 2}\n");
  o = run("plan c.yaml model.vocabulary=257 --ranks 4 --nodes 2 --machine m.yaml --show 1");
  ASSERT_EQ(o.code, 0) << o.err;
  const std::size_t at = said.find("plan predicts steps of ") + 23;
  const double step = std::stod(said.substr(at));
  char row[32];
  std::snprintf(row, sizeof row, " %.3f ", step);
  EXPECT_NE(o.out.find(std::string(row).substr(0, 4)), std::string::npos) << row << o.out;
  o = run("resume r train.steps=14", 2);  // on one node the far way is not needed
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(log("r", "001"), "plan predicts steps of "), 1);
}

TEST_F(MeasuredRun, WhatAMachineDoesNotKnowIsSaid) {
  plan::MachineDescription machine = plan::round_machine();
  machine.near.reset(), machine.ranks = machine.nodes;
  write("far.yaml", plan::to_yaml(machine));
  const Output o = run("train tiny.yaml --run r layout.machine=far.yaml", 2);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(log("r"), "nothing is predicted: the machine description has no near way"), 1) << log("r");
  EXPECT_EQ(count(log("r"), "plan predicted"), 0);
}

TEST_F(MeasuredRun, ABadMachineIsRefusedOnceAndNothingIsBegun) {
  write("bad.yaml", "format: switchyard-machine-1\nranks: -3\n");
  for (const char* command : {"train tiny.yaml --run r", "bench step tiny.yaml model.vocabulary=64", "check tiny.yaml"})
    for (const int ranks : {0, 2}) {
      if (ranks > 0 && std::string(command).starts_with("check")) continue;
      Output o = run(std::string(command) + " layout.machine=bad.yaml", ranks);
      EXPECT_EQ(o.code, 2) << o.err;
      EXPECT_EQ(count(o.err, "bad.yaml:2:8: ranks: "), 1) << o.err;
      o = run(std::string(command) + " layout.machine=none.yaml", ranks);
      EXPECT_EQ(o.code, 2) << o.err;
      EXPECT_EQ(count(o.err, "command line: layout.machine: none.yaml: cannot be read"), 1) << o.err;
      EXPECT_FALSE(fs::exists(folder_ / "r"));
    }
}

TEST_F(MeasuredRun, ABenchmarkSaysWhatItMeasured) {
  const std::string options =
      std::string("bench step tiny.yaml model.vocabulary=64 --warmup 1 --repetitions 3") + measured;
  Output o = run(options + " layout.machine=m.yaml", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  for (const char* key : {"\"poll_us\":0", "\"poll_interval_us\":", "\"lanes_ms\":{\"1\":", "\"predicted_step_ms\":",
                          "\"predicted_hidden_share\":"})
    EXPECT_EQ(count(o.out, key), 1) << key << "\n" << o.out;
  EXPECT_EQ(count(o.out, "\"lanes\":0"), 0) << o.out;
  o = run(std::regex_replace(options, std::regex("lanes=0"), "lanes=2") + " layout.poll=50", 2);
  EXPECT_EQ(count(o.out, "\"poll_interval_us\":50.0"), 1) << o.out;
  EXPECT_EQ(count(o.out, "lanes_ms"), 0) << o.out;
}

TEST_F(MeasuredRun, CheckAndPlanSayWhatTheyAssume) {
  Output o = run(std::string("check tiny.yaml --ranks 2") + measured);
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.out,
                  "note: layout.lanes: 0: a run takes what it measures to be fastest of [1, 2]; memory and disk "
                  "are those of "),
            1)
      << o.out;
  o = run(std::string("plan tiny.yaml model.vocabulary=64 --ranks 2 --machine m.yaml --show 1") + measured);
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.out, ", the fastest by prediction (layout.lanes is 0: a run measures)\n"), 1) << o.out;
}

}  // namespace
}  // namespace switchyard
