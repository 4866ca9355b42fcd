// Sweep files: the tasks that they become, their order, and what is said of wrong ones.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/check.hpp"
#include "config/estimate.hpp"
#include "config/values.hpp"
#include "support/folder.hpp"
#include "support/refusal.hpp"
#include "sweep/sweep.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::sweep;

class SweepFile : public testing::Test {
 protected:
  SweepFile() { put("base.yaml", "model: {vocabulary: 40}\nmoe: {experts: 4, top_k: 1, hidden: 64}\n"); }
  void put(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  Sweep of(const std::string& text, const std::vector<std::string>& overrides = {}) const {
    put("s.yaml", "configuration: base.yaml\n" + text);
    return read_sweep(folder_ / "s.yaml", overrides);
  }
  /// The message of the error that reading ends with.
  std::string refusal(const std::string& text) const try {
    of(text);
    return "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::usage);
    return e.what();
  }
  const test::Folder folder_;
};

TEST(HalvingOrder, EndsFirstThenMiddles) {
  EXPECT_EQ(halving_order(0), std::vector<std::size_t>());
  EXPECT_EQ(halving_order(1), (std::vector<std::size_t>{0}));
  EXPECT_EQ(halving_order(2), (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(halving_order(5), (std::vector<std::size_t>{0, 4, 2, 1, 3}));
  for (std::size_t n = 1; n < 70; ++n) {
    const auto order = halving_order(n);
    EXPECT_EQ(std::set<std::size_t>(order.begin(), order.end()).size(), n);
    EXPECT_EQ(order.size(), n);
  }
}

// The first tasks of each seed are a curve already; every task does the same work a token.
TEST_F(SweepFile, CombinesAxesAtEqualActiveWork) {
  const Sweep sweep = of("experts: [1, 2, 4, 8, 16]\ntop_k: [1, 2]\ngranularity: [1, 4]\nseeds: [3, 9]\n");
  EXPECT_EQ(sweep.tasks.size(), 2u * (5 * 2 + 4 * 2));  // two choices of one expert are left out
  EXPECT_EQ(sweep.tasks[0].name, "E1-k1-g1-seed3");
  EXPECT_EQ(sweep.tasks[2].name, "E16-k1-g1-seed3");
  EXPECT_EQ(sweep.tasks[18].name, "E1-k1-g1-seed9");
  const std::int64_t work = dense_parameters(config_of(sweep, sweep.tasks[0]));
  std::set<std::string> names;
  for (const Task& task : sweep.tasks) {
    const Config c = config_of(sweep, task);
    EXPECT_EQ(c.moe.experts, task.experts * task.granularity);
    EXPECT_EQ(c.moe.top_k, task.top_k * task.granularity);
    EXPECT_EQ(c.moe.hidden * c.moe.top_k, 64);
    EXPECT_EQ(dense_parameters(c), work);
    EXPECT_EQ(c.train.seed, task.seed);
    EXPECT_EQ(c.data.seed, task.seed);
    names.insert(task.name);
  }
  EXPECT_EQ(names.size(), sweep.tasks.size());
}

TEST_F(SweepFile, ArmsAndOverridesReachTheTasks) {
  const Sweep sweep = of("experts: [4]\nset: [train.steps=7]\narms: {plain: , aux: [moe.aux_loss=0.5]}\nranks: 2\n",
                         {"train.warmup=3"});
  ASSERT_EQ(sweep.tasks.size(), 2u);
  EXPECT_EQ(sweep.ranks, 2);
  EXPECT_EQ(sweep.tasks[1].name, "E4-k1-g1-seed1-aux");
  EXPECT_EQ(config_of(sweep, sweep.tasks[0]).moe.aux_loss, 0.0);
  const Config aux = config_of(sweep, sweep.tasks[1]);
  EXPECT_EQ(aux.moe.aux_loss, 0.5);
  EXPECT_EQ(aux.train.steps, 7);
  EXPECT_EQ(aux.train.warmup, 3);
  EXPECT_TRUE(aux.data.path.starts_with("/"));  // a task may start in another folder
}

TEST_F(SweepFile, AllComplaintsAtOnceWithTheirPlaces) {
  const std::string file = folder_ / "s.yaml";
  const std::string two = refusal("expert: [1]\nexperts: [1, x]\nseeds: []\n");
  for (const std::string line : {":2:1: expert: unknown key (did you mean experts?)",
                                 ":3:14: experts: \"x\" is not an integer", ":4:8: seeds: must be a list, not empty"})
    EXPECT_NE(two.find(file + line), std::string::npos) << two;
  EXPECT_NE(refusal("top_k: [1]\n").find("experts: is missing"), std::string::npos);
  EXPECT_NE(refusal("experts: [2, 2]\n").find("has 2 twice"), std::string::npos);
  EXPECT_NE(refusal("experts: [1]\ntop_k: [2]\n").find("so there is no task"), std::string::npos);
  EXPECT_NE(refusal("experts: [4]\ntop_k: [3]\n").find("E4-k3-g1-seed1: moe.hidden * moe.top_k = 64"),
            std::string::npos);
  EXPECT_NE(refusal("experts: [4]\narms: {bad: [moe.aux_los=1]}\n").find("did you mean moe.aux_loss?"),
            std::string::npos);
  EXPECT_NE(refusal("experts: [4]\nset: [moe.experts=2]\n").find("moe.experts follows from"), std::string::npos);
  EXPECT_NE(refusal("experts: [4]\narms: {a: [moe.hidden=8]}\n").find("moe.hidden follows from"), std::string::npos);
  EXPECT_NE(refusal("experts: [4]\narms: {has blank: }\n").find("without blanks"), std::string::npos);
}

TEST_F(SweepFile, NothingIsGivenTwice) {
  EXPECT_NE(refusal("experts: [2]\narms: {a: [moe.aux_loss=0.5], a: [moe.aux_loss=0.25]}\n").find("a: duplicate key"),
            std::string::npos);
  EXPECT_NE(refusal("experts: [4, 4]\n").find("has 4 twice"), std::string::npos);
  EXPECT_NE(refusal("experts: [4]\nset: [moe.aux_loss=1, moe.aux_loss=2]\n").find("has moe.aux_loss twice"),
            std::string::npos);
}

TEST_F(SweepFile, AWrongNumberIsSaidOnce) {
  EXPECT_EQ(refusal("experts: [1e1, .5]\n").find("twice"), std::string::npos);
}

TEST_F(SweepFile, AsManyTasksAsCanBeChecked) {
  std::string list = "[1";
  for (int i = 2; i <= 65; ++i) list += ", " + std::to_string(i);
  EXPECT_NE(refusal("experts: " + list + "]\nseeds: " + list + "]\n").find("at most 4096 tasks"), std::string::npos);
}

TEST_F(SweepFile, OneExpertHasWeightOne) {
  const Sweep sweep = of("experts: [1, 4]\nset: [moe.router=sigmoid]\narms: {raw: [moe.normalise=none]}\n");
  EXPECT_EQ(config_of(sweep, sweep.tasks[0]).moe.normalise, Normalise::after);
  EXPECT_EQ(config_of(sweep, sweep.tasks[1]).moe.normalise, Normalise::none);
}

TEST_F(SweepFile, CommandLineOverSetAndArmsOverBoth) {
  const Sweep sweep = of("experts: [4]\nset: [train.steps=700, train.warmup=2]\narms: {a: , b: [train.warmup=3]}\n",
                         {"train.steps=900"});
  const Config a = config_of(sweep, sweep.tasks[0]), b = config_of(sweep, sweep.tasks[1]);
  EXPECT_EQ(a.train.steps, 900);
  EXPECT_EQ(a.train.warmup, 2);
  EXPECT_EQ(b.train.warmup, 3);
}

TEST_F(SweepFile, AFolderKeepsOneSweep) {
  const std::string kept = folder_ / "kept";
  const Sweep sweep = of("experts: [1, 4]\n");
  keep_sweep(kept, sweep);
  keep_sweep(kept, sweep);
  const Sweep back = kept_sweep(kept);
  ASSERT_EQ(back.tasks.size(), 2u);
  EXPECT_EQ(back.configuration, sweep.configuration);
  EXPECT_EQ(back.tasks[1].overrides, sweep.tasks[1].overrides);
  EXPECT_THROW(keep_sweep(kept, of("experts: [1, 2]\n")), Error);
  EXPECT_THROW(kept_sweep(folder_ / "nothing"), Error);
  std::ofstream(kept + "/sweep.json") << "{";
  EXPECT_THROW(kept_sweep(kept), Error);
}

// The order that docs/sweeps.md gives, from a list in any order.
TEST_F(SweepFile, ExpertsRunByHalving) {
  std::vector<int> order;
  for (const Task& task : of("experts: [64, 1, 512, 2, 8, 16, 4, 128, 32, 256]\n").tasks) order.push_back(task.experts);
  EXPECT_EQ(order, (std::vector<int>{1, 512, 16, 4, 64, 2, 8, 32, 128, 256}));
}

TEST_F(SweepFile, EveryWrongValueHasItsPlace) {
  const struct {
    const char *text, *says;
  } rows[] = {
      {"experts: []\n", ":2:10: experts: must be a list, not empty"},
      {"experts:\n", ":2:1: experts: must be a list, not empty"},
      {"experts: 4\n", ":2:10: experts: must be a list, not empty"},
      {"experts: {a: 4}\n", "experts: must be a list, not empty"},
      {"experts: [0]\n", ":2:11: experts: is 0; must be at least 1"},
      {"experts: [1, -4]\n", ":2:14: experts: is -4; must be at least 1"},
      {"experts: [[4]]\n", ":2:11: experts: must be an integer"},
      {"experts: [2147483648]\n", ":2:11: experts: "},
      {"experts: [4]\ntop_k: [0]\n", ":3:9: top_k: is 0; must be at least 1"},
      {"experts: [4]\ngranularity: [0]\n", ":3:15: granularity: is 0; must be at least 1"},
      {"experts: [4]\nseeds: [-1]\n", ":3:9: seeds: "},
      {"experts: [4]\nseeds: [18446744073709551616]\n", ":3:9: seeds: "},
      {"experts: [4]\nseeds: [1.0]\n", ":3:9: seeds: "},
      {"experts: [4]\nranks: 0\n", ":3:8: ranks: is 0; must be at least 1"},
      {"experts: [4]\nranks: [1]\n", ":3:8: ranks: must be an integer"},
      {"experts: [4]\nranks:\n", "ranks: must be an integer"},
      {"experts: [4]\nexperts: [2]\n", ":3:1: experts: duplicate key"},
      {"experts: [4]\nset: train.steps=7\n", ":3:6: set: must be a list, not empty"},
      {"experts: [4]\nset: [\"\"]\n", ":3:7: set: is empty"},
      {"experts: [4]\narms: [a]\n", ":3:1: arms: must be names"},
      {"experts: [4]\narms: {a: moe.aux_loss=1}\n", ":3:11: a: must be a list, not empty"},
      {"experts: [4]\narms: {seventeen-letters: }\n", ":3:8: arms: \"seventeen-letters\" must be 1 to 16 bytes"},
      {"experts: [4]\narms: {\"\": }\n", ":3:8: arms: \"\" must be 1 to 16 bytes"},
      {"experts: [4]\narms: {a/b: }\n", ":3:8: arms: \"a/b\" must be 1 to 16 bytes"},
      {"experts: [4]\narms: {\"a\\nb\": }\n", ":3:8: arms: "},
      {"experts: [4]\narms: {\"a\\tb\": }\n", ":3:8: arms: "},
      {"experts: [4]\narms: {\"a\\0b\": }\n", ":3:8: arms: "},
      {"experts: [4]\narms: {\"\\x7f\": }\n", ":3:8: arms: "},
      {"experts: &e [4]\n", "anchors (&name) are not supported"},
      {"experts: [4\n", ":"},
      {"experts: [4]\ngranularity: [2147483647]\n", "is not divisible by 2147483647 choices"},
      {"experts: [2147483647]\ngranularity: [64]\n", "moe.experts"},
      {"experts: [4]\nset: [train.step=7]\n", "did you mean train.steps?"},
      {"experts: [4]\nset: [train.steps]\n", "train.steps"},
  };
  for (const auto& row : rows) {
    const std::string said = refusal(row.text);
    EXPECT_NE(said.find(row.says), std::string::npos) << row.text << said;
    EXPECT_EQ(said.find('\0'), std::string::npos) << row.text;
  }
}

TEST_F(SweepFile, TheFilesThemselvesAreThere) {
  const auto said = [&](const std::string& text) {
    put("s.yaml", text);
    return test::refusal([&] { read_sweep(folder_ / "s.yaml", {}); });
  };
  EXPECT_EQ(said(""), "2 " + (folder_ / "s.yaml") +
                          ": a sweep is made of keys: configuration, set, experts, top_k, granularity, seeds, arms, "
                          "branches, rate_exponent, ranks");
  EXPECT_NE(said("[1, 2]\n").find(":1:1: a sweep is made of keys: "), std::string::npos);
  EXPECT_NE(said("experts: [1]\n").find("configuration: is missing"), std::string::npos);
  EXPECT_TRUE(said("configuration: none.yaml\nexperts: [1]\n")
                  .starts_with("2 " + (folder_ / "none.yaml: cannot be read (No such file")));
  EXPECT_TRUE(said("configuration: .\nexperts: [1]\n").find(": cannot be read (it is a folder)") != std::string::npos);
  EXPECT_EQ(test::refusal([&] { read_sweep(folder_ / "gone.yaml", {}); }).substr(0, 2), "2 ");
  put("base.yaml", "model: {vocabulary: 40, widht: 8}\n");
  EXPECT_NE(said("configuration: base.yaml\nexperts: [1]\n").find("base.yaml:1:25: model.widht: unknown key"),
            std::string::npos);
}

TEST_F(SweepFile, BoundsAreTaken) {
  const Sweep sweep = of("experts: [4]\nseeds: [0, 18446744073709551615]\narms: {sixteen-letters-: , µ: }\n");
  ASSERT_EQ(sweep.tasks.size(), 4u);
  EXPECT_EQ(sweep.tasks[2].name, "E4-k1-g1-seed18446744073709551615-sixteen-letters-");
  EXPECT_EQ(config_of(sweep, sweep.tasks[2]).data.seed, ~0ull);
  EXPECT_EQ(sweep.tasks[3].arm, "µ");
  std::string list = "[1";
  for (int i = 2; i <= 4096; ++i) list += ", " + std::to_string(i);
  EXPECT_NE(refusal("experts: [1]\nseeds: " + list + ", 4097]\n").find(":3:8: seeds: has more than 4096 entries"),
            std::string::npos);
}

// A pair that cannot be is said once and left out; what stays is in every other combination.
TEST_F(SweepFile, MoreChoicesThanExpertsAreLeftOut) {
  const Sweep sweep = of("experts: [1, 2, 8]\ntop_k: [1, 2, 4]\nseeds: [1, 2]\n");
  EXPECT_EQ(sweep.tasks.size(), 2u * (1 + 2 + 3));
  std::vector<std::string> notes;
  for (const char* pair : {"2 with experts 1", "4 with experts 1", "4 with experts 2"})
    notes.push_back((folder_ / "s.yaml: top_k ") + pair +
                    " is left out: a token cannot choose more experts than there are");
  EXPECT_EQ(sweep.notes, notes);
}

// Tests run in the folder `tests`. Reading a sweep file validates the configuration of every task.
TEST(Experiments, EverySweepFileIsGood) {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("../experiments")) {
    std::string text;
    std::getline(std::ifstream(entry.path()), text, '\0');
    if (entry.path().extension() != ".yaml" || text.find("configuration: ") == std::string::npos) continue;
    ++files;
    EXPECT_FALSE(read_sweep(entry.path(), {}).tasks.empty()) << entry.path();
  }
  EXPECT_GE(files, 13);
}

}  // namespace
