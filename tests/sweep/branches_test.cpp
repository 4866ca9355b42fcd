// Sweeps with trunks and branches, and the rule of the rate in E: their tasks, and the order in which a queue has them.
#include "sweep/branches.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/check.hpp"
#include "base/files.hpp"
#include "config/yaml.hpp"
#include "support/child.hpp"
#include "support/folder.hpp"
#include "support/refusal.hpp"
#include "sweep/queue.hpp"
#include "sweep/sweep.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::sweep;
namespace fs = std::filesystem;

class SweepBranches : public testing::Test {
 protected:
  SweepBranches() {
    put("base.yaml",
        "model: {vocabulary: 40, context: 16}\nmoe: {experts: 4, top_k: 1, hidden: 64}\n"
        "train: {batch: 8, warmup: 20, learning_rate: 0.004, min_learning_rate: 0.0004}\nrecord: {flush_every: 10}\n");
  }
  void put(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  Sweep of(const std::string& text) const {
    put("s.yaml", "configuration: base.yaml\n" + text);
    return read_sweep(folder_ / "s.yaml", {});
  }
  std::string refusal(const std::string& text) const try {
    of(text);
    return "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::usage);
    return e.what();
  }
  const test::Folder folder_;
};

TEST_F(SweepBranches, ATrunkAndABranchForEachLength) {
  const Sweep sweep = of("experts: [1, 4]\nbranches: {steps: [100, 405], decay_share: 0.2}\n");
  const std::vector<std::string> names{"E1-k1-g1-seed1-trunk", "E1-k1-g1-seed1-s100", "E1-k1-g1-seed1-s405",
                                       "E4-k1-g1-seed1-trunk", "E4-k1-g1-seed1-s100", "E4-k1-g1-seed1-s405"};
  ASSERT_EQ(sweep.tasks.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(sweep.tasks[i].name, names[i]);
  const Config trunk = config_of(sweep, sweep.tasks[3]), last = config_of(sweep, sweep.tasks[5]);
  EXPECT_EQ(trunk.train.schedule, Schedule::constant);
  EXPECT_EQ(trunk.train.steps, 320);  // 324, at a whole chunk of rows
  EXPECT_EQ(trunk.train.keep_steps, (std::vector<int>{80, 320}));
  EXPECT_EQ(sweep.tasks[5].from, 320);
  EXPECT_EQ(last.train.steps, 405);
  EXPECT_EQ(last.train.schedule, Schedule::wsd);
  EXPECT_NEAR((1.0 - last.train.decay_share) * 405, 320.0, 1e-9);  // where the rate begins to fall
  EXPECT_EQ(trunk_of(sweep, sweep.tasks[5]), &sweep.tasks[3]);
  EXPECT_EQ(trunk_of(sweep, sweep.tasks[3]), nullptr);
  EXPECT_EQ(origin_of("f", sweep, sweep.tasks[1]), "f/tasks/E1-k1-g1-seed1-trunk@80");
}

TEST_F(SweepBranches, LengthsInTokens) {
  const Sweep sweep = of("experts: [4]\narms: {a: , b: [train.batch=16]}\nbranches: {tokens: [25600, 51300]}\n");
  ASSERT_EQ(sweep.tasks.size(), 6u);
  EXPECT_EQ(sweep.tasks[1].name, "E4-k1-g1-seed1-a-s200");  // of 128 tokens a step
  EXPECT_EQ(sweep.tasks[2].name, "E4-k1-g1-seed1-a-s400");
  EXPECT_EQ(sweep.tasks[4].name, "E4-k1-g1-seed1-b-s100");
  EXPECT_EQ(sweep.tasks[5].from, 160);
}

TEST_F(SweepBranches, WrongOnesAreRefused) {
  for (const auto& [text, says] :
       {std::pair("branches: [100]", ":3:1: branches: must be {steps: [...]}"),
        std::pair("branches: {decay_share: 0.5}", "must have either steps or tokens"),
        std::pair("branches: {steps: [100], tokens: [1000]}", "must have either steps or tokens"),
        std::pair("branches: {steps: [200, 100]}", "branches: steps: must ascend"),
        std::pair("branches: {steps: [100, 100]}", "has 100 twice"),
        std::pair("branches: {steps: [0]}", "steps: is 0; must be at least 1"),
        std::pair("branches: {steps: [100], decay_share: 1}", "must be above 0 and below 1"),
        std::pair("branches: {steps: [100], share: 1}", "branches: share: unknown key"),
        std::pair("branches: {steps: [12]}", "would leave its trunk before the first chunk of rows"),
        std::pair("branches: {steps: [20]}", "would leave its trunk at step 10, before train.warmup 20 is over"),
        std::pair("branches: {tokens: [12800, 12900]}", "a branch of 100 steps is not longer than the one before"),
        std::pair("branches: {steps: [100]}\nset: [train.steps=50]", "train.steps follows from branches"),
        std::pair("branches: {steps: [100]}\narms: {a: [train.schedule=linear]}", "train.schedule follows from"),
        std::pair("branches: {steps: [9000000000]}", "beyond step 2147483647"),
        std::pair("rate_exponent: high", ":3:16: rate_exponent: "),
        std::pair("rate_exponent: -5", "must be in [-4, 4]")}) {
    const std::string said = refusal(std::string("experts: [4]\n") + text + "\n");
    EXPECT_NE(said.find(says), std::string::npos) << text << ": " << said;
  }
}

TEST_F(SweepBranches, TheRateFollowsE) {
  const Sweep sweep = of("experts: [1, 16]\narms: {a: , b: [train.learning_rate=0.002]}\nrate_exponent: -0.25\n");
  const auto rates = [&](std::size_t i) {
    const TrainConfig train = config_of(sweep, sweep.tasks.at(i)).train;
    return std::pair(train.learning_rate, train.min_learning_rate);
  };
  EXPECT_EQ(rates(0), std::pair(0.004, 0.0004));
  EXPECT_EQ(rates(1), std::pair(0.002, 0.0004));
  EXPECT_EQ(sweep.tasks[2].experts, 16);
  EXPECT_NEAR(rates(2).first, 0.002, 1e-17);
  EXPECT_NEAR(rates(2).second, 0.0002, 1e-17);
  EXPECT_NEAR(rates(3).first, 0.001, 1e-17);
}

TEST_F(SweepBranches, AFolderKeepsThem) {
  const Sweep sweep = of("experts: [1, 4]\nbranches: {steps: [100, 200]}\n");
  const std::string kept = folder_ / "kept";
  keep_sweep(kept, sweep);
  const Sweep back = kept_sweep(kept);
  for (std::size_t i = 0; i < sweep.tasks.size(); ++i) {
    EXPECT_EQ(back.tasks[i].name, sweep.tasks[i].name);
    EXPECT_EQ(back.tasks[i].from, sweep.tasks[i].from);
    EXPECT_EQ(back.tasks[i].overrides, sweep.tasks[i].overrides);
  }
  const std::string text = files::read_text(kept + "/sweep.json");
  std::string other = text;
  other.replace(other.find("\"steps\": 100"), 12, "\"steps\": 101");
  EXPECT_THROW(parse_sweep(other, "s"), Error);  // the name says another
  other = text;
  other.replace(other.find("\"is_trunk\": true"), 16, "\"is_trunk\": false");
  EXPECT_THROW(parse_sweep(other, "s"), Error);
}

// Two at a time: a branch begins once its checkpoint is there, and others go before it meanwhile.
TEST_F(SweepBranches, ABranchWaitsForItsTrunk) {
  const Sweep sweep = of("experts: [4]\narms: {a: , b: }\nbranches: {steps: [100, 200]}\n");
  const std::string kept = folder_ / "kept";
  keep_sweep(kept, sweep);
  const auto work = [&](const std::string& lines, int jobs) {
    put("program", "#!/bin/sh\nn=$5 r=" + folder_.path() + " t=$3/tasks\necho $n >> $r/order\n" + lines + "\n");
    fs::permissions(folder_ / "program", fs::perms::owner_all);
    fs::remove(folder_ / "order");
    return test::in_child([&] {
      if (!std::freopen((folder_ / "out").c_str(), "w", stdout)) return 99;
      ::alarm(60);
      return static_cast<int>(run_queue(sweep, {kept, folder_ / "program", {}, jobs}));
    });
  };
  const std::string name = "E4-k1-g1-seed1-";
  EXPECT_EQ(work("[ $n = 0 ] && exit 3; exit 0", 2), 3);  // no trunk makes a checkpoint
  EXPECT_EQ(files::read_text(folder_ / "order"), "0\n3\n");
  const std::string out = files::read_text(folder_ / "out");
  EXPECT_NE(
      out.find("task 1 " + name + "a-s100: waits: its trunk " + name + "a-trunk has no checkpoint of step 80 yet"),
      std::string::npos)
      << out;
  EXPECT_EQ(work("case $n in 0) sleep 0.5; a=a;; 3) a=b;; *) exit 0;; esac\n"
                 "for s in 80 160; do mkdir -p $t/" +
                     name +
                     "$a-trunk/checkpoints/$(printf step-%08d $s); "
                     "touch $t/" +
                     name + "$a-trunk/checkpoints/$(printf step-%08d $s)/manifest.json; done",
                 2),
            0);
  std::istringstream order(files::read_text(folder_ / "order"));
  std::vector<int> begun;
  for (int n; order >> n;) begun.push_back(n);
  EXPECT_EQ(begun.size(), 6u);
  EXPECT_TRUE(begun[0] + begun[1] == 3 && std::min(begun[0], begun[1]) == 0) << begun[0] << begun[1];
  EXPECT_EQ(begun[2], 4);  // the first trunk is at work still
}

}  // namespace
