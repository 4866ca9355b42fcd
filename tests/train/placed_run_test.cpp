// Whole runs whose experts live where a file says: the bytes of a run without one, from any placement to any other.
#include <cstdlib>

#include "base/files.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

class PlacedRun : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    make_tiny();
    write("p.yaml", "# by hand\n0: [3, 1, 0, 2]\n1: [2, 0, 3, 1]\n");
    write("q.yaml", "1: [1, 3, 2, 0]\n0: [0, 2, 1, 3]\n");
  }
  std::string digest(const std::string& name) const {
    EXPECT_EQ(run("verify " + name).code, 0) << read(folder_ / "err");
    return run("verify " + name + " --digest").out;
  }
};

TEST_F(PlacedRun, HasTheBytesOfOneWithoutAndResumesAnywhere) {
  const std::string four = " train.schedule=constant train.steps=4";
  ASSERT_EQ(run("train tiny.yaml --run whole" + four, 1).code, 0);
  Output o = run(
      "train tiny.yaml --run placed layout.placement=p.yaml layout.exchange=node layout.ranks_per_node=2" + four, 4);
  ASSERT_EQ(o.code, 0) << o.err;
  o = run("train tiny.yaml --run cut layout.placement=p.yaml train.schedule=constant train.steps=2", 3);
  ASSERT_EQ(o.code, 0) << o.err;
  o = run("resume cut train.steps=3 layout.placement=contiguous layout.zero=1", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  o = run("resume cut train.steps=4 layout.placement=q.yaml layout.expert_parallel=2", 4);
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string whole = digest("whole");
  EXPECT_NE(whole.find("checkpoint/state"), std::string::npos) << whole;
  EXPECT_EQ(digest("placed"), whole);
  EXPECT_EQ(digest("cut"), whole);
  const std::string said = "layout.placement: experts live where p.yaml has them (SHA-256 " +
                           files::sha256_of_file((folder_ / "p.yaml").string()) + ")";
  EXPECT_NE(read(folder_ / "placed/segments/000/log.txt").find(said), std::string::npos);
  EXPECT_NE(read(folder_ / "placed/config.yaml").find("placement: p.yaml"), std::string::npos);
  EXPECT_EQ(read(folder_ / "whole/segments/000/log.txt").find("placement"), std::string::npos);
  fs::remove(folder_ / "q.yaml");  // nobody but a run on this layout needs it
  EXPECT_EQ(run("generate cut --prompt 'line ' --tokens 1").code, 0) << read(folder_ / "err");
  EXPECT_EQ(run("verify cut").code, 0);
  o = run("resume cut train.steps=5", 2);
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "layout.placement: q.yaml: cannot be read"), 1) << o.err;
}

// Two nodes of two ranks, whose experts change places inside them: sums are whole on a node and not on a rank.
TEST_F(PlacedRun, TheLogSaysHowRowsComeHome) {
  write("inside.yaml", "0: [1, 0, 2, 3]\n1: [0, 1, 3, 2]\n");
  const std::string gathered = " layout.exchange=gather layout.ranks_per_node=2 train.schedule=constant train.steps=1";
  for (const auto& [options, said] :
       {std::pair{" moe.combine_groups=4", "gather), and home as sums of moe.combine_groups; "},
        std::pair{" moe.combine_groups=2",
                  "as sums of moe.combine_groups between nodes, inside them one by one (see moe."},
        std::pair{" moe.combine_groups=4 layout.placement=inside.yaml",
                  "between nodes, inside them one by one (layout.placement moves experts between ranks); "},
        std::pair{" layout.placement=p.yaml", "home one by one (see moe.combine_groups)"},
        std::pair{" moe.combine_groups=4 layout.placement=p.yaml", "(layout.placement moves experts between nodes)"}}) {
    const std::string name = "r" + std::to_string(std::hash<std::string>()(options));
    const Output o = run("train tiny.yaml --run " + name + gathered + options, 4);
    ASSERT_EQ(o.code, 0) << o.err;
    const std::string log = read(folder_ / (name + "/segments/000/log.txt"));
    EXPECT_NE(log.find("tokens go once to each node with experts of their choices, there once to each rank"),
              std::string::npos)
        << log;
    EXPECT_NE(log.find(said), std::string::npos) << said << "\n" << log;
  }
}

TEST_F(PlacedRun, RanksThatShareExpertsResumeAnywhere) {
  const std::string chunks = " moe.hidden_chunks=4 train.schedule=constant train.steps=";
  ASSERT_EQ(run("train tiny.yaml --run whole" + chunks + "4", 1).code, 0);
  Output o = run("train tiny.yaml --run cut layout.expert_tensor_parallel=2 layout.zero=1" + chunks + "2", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  o = run("resume cut train.steps=3 layout.expert_tensor_parallel=4 layout.placement=p.yaml layout.expert_parallel=4",
          4);
  ASSERT_EQ(o.code, 0) << o.err;
  o = run("resume cut train.steps=4 layout.expert_tensor_parallel=1 layout.expert_parallel=0 layout.zero=0", 3);
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(digest("cut"), digest("whole"));
  o = run("resume cut train.steps=5 moe.hidden_chunks=2", 2);
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("moe.hidden_chunks"), std::string::npos) << o.err;
}

TEST_F(PlacedRun, IsRefusedOnceWithThePlaceOfTheFault) {
  write("bad.yaml", "0: [3, 1, 0, 2]\n1: [2, 0, 2, 1]\n");
  for (const char* command : {"check tiny.yaml --ranks 2", "train tiny.yaml --run r"})
    for (const int ranks : {0, 3}) {
      if (ranks > 0 && std::string(command).starts_with("check")) continue;
      const Output o = run(std::string(command) + " layout.placement=bad.yaml", ranks);
      EXPECT_EQ(o.code, 2) << o.err;
      EXPECT_EQ(count(o.err, "bad.yaml:2:11: block 1: lists expert 2 twice"), 1) << o.err;
      EXPECT_EQ(o.err.find("bad.yaml:2"), 0u) << o.err;
      EXPECT_FALSE(fs::exists(folder_ / "r"));
    }
  const Output good = run("check tiny.yaml --ranks 2 layout.placement=p.yaml");
  EXPECT_EQ(good.code, 0) << good.err;
  write("s.yaml", "configuration: tiny.yaml\nexperts: [4, 8]\nset: [layout.placement=p.yaml]\n");
  const Output sweep = run("sweep run s.yaml --out s");
  EXPECT_EQ(sweep.code, 2) << sweep.err;
  EXPECT_NE(sweep.err.find("p.yaml:2:5: block 0: lists 4 experts, but the block has 8"), std::string::npos)
      << sweep.err;
}

}  // namespace
}  // namespace switchyard
