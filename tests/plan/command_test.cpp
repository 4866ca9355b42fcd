// links: bench
// `switchyard plan` and `bench machine` as a user meets them: one measures, the other predicts; bytes are those that
// bench step counts; bad input is one message.
#include <sys/stat.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "plan/machine.hpp"
#include "support/json_lines.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

/// Two mixtures and an even router, so that counts are those of even routing.
constexpr const char* model =
    "model: {vocabulary: 64, width: 16, blocks: 2, heads: 2, context: 64, hidden: 32}\n"
    "moe: {experts: 8, top_k: 2, hidden: 32, router: hash, normalise: none, combine_groups: 2}\n"
    "train: {batch: 32, grains: 8}\n";

class Plan : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    write("c.yaml", model);
    write("m.yaml", plan::to_yaml(plan::round_machine()));
  }
  std::vector<nlohmann::json> lines(const std::string& file) const { return test::json_lines(read(folder_ / file)); }
};

TEST_F(Plan, SaysWhatTheFirstChoiceIs) {
  const Output o = run("plan c.yaml --ranks 4 --nodes 2 --machine m.yaml --show 3 --json p.jsonl");
  ASSERT_EQ(o.code, 0) << o.err;
  for (const char* part :
       {"configuration  4 ranks on 2 nodes", "hiding         forwards experts compute", "layouts        that fit",
        "first choice   put into the configuration:\nlayout: {expert_parallel: ", "rule of thumb  below 200 Gbit/s",
        "<- the rule", "  capacity: "})
    EXPECT_EQ(count(o.out, part), 1) << part << "\n" << o.out;
  const auto all = lines("p.jsonl");
  ASSERT_EQ(all.size(), 3u);
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_LE(all[i - 1]["step_ms"], all[i]["step_ms"]);
  // What it says to put there is taken, and is then the configuration's own prediction.
  const std::size_t at = o.out.find("layout: {");
  write("d.yaml", model + o.out.substr(at, o.out.find('\n', at) - at) + "\n");
  const Output again = run("plan d.yaml --ranks 4 --nodes 2 --machine m.yaml --show 1");
  ASSERT_EQ(again.code, 0) << again.err;
  std::ostringstream step;
  step.precision(3);
  step << std::fixed << all[0]["step_ms"].get<double>();
  EXPECT_GE(count(again.out.substr(0, again.out.find("rows  ")), step.str()), 1) << again.out;
}

TEST_F(Plan, BytesAreThoseOfMeasuredSteps) {
  for (const std::string exchange : {"pairwise", "node", "gather"}) {
    const std::string layout = " layout.exchange=" + exchange + " layout.ranks_per_node=2 ";
    const double within = exchange == "gather" ? 0.015 : 0.01;  // choices of a router are not quite independent
    const Output step = run("bench step c.yaml" + layout + "--warmup 0 --repetitions 1 --json s.jsonl", 4);
    ASSERT_EQ(step.code, 0) << step.err;
    const Output o = run("plan c.yaml --ranks 4 --nodes 2 --machine m.yaml --show 1000 --json p.jsonl");
    ASSERT_EQ(o.code, 0) << o.err;
    const nlohmann::json measured = lines("s.jsonl").back();
    bool found = false;
    for (const nlohmann::json& p : lines("p.jsonl")) {
      if (p["exchange"] != exchange || p["expert_parallel"] != 4) continue;
      found = true;
      for (const char* bytes : {"row_bytes", "row_bytes_across"})
        EXPECT_NEAR(p[bytes].get<double>() / measured[bytes].get<double>(), 1.0, within) << exchange << " " << bytes;
    }
    EXPECT_TRUE(found);
  }
}

// Teams are among the layouts where experts have chunks; a placement stays, and is read where the command is run.
TEST_F(Plan, RanksTeamsAndKeepsAPlacement) {
  write("p.yaml", "0: [0, 2, 4, 6, 1, 3, 5, 7]\n1: [7, 0, 1, 2, 3, 4, 5, 6]\n");
  const Output o =
      run("plan c.yaml --ranks 4 --nodes 2 --machine m.yaml --show 1000 --json p.jsonl moe.hidden_chunks=4 "
          "layout.placement=p.yaml");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.out, ", expert_tensor_parallel: "), 1) << o.out;
  EXPECT_EQ(count(o.out, ", placement: \"p.yaml\""), 1) << o.out;
  std::map<int, int> teams;
  for (const nlohmann::json& p : lines("p.jsonl")) {
    EXPECT_EQ(p["placement"], "p.yaml");
    ++teams[p["expert_tensor_parallel"]];
    EXPECT_FALSE(p["exchange"] == "gather" && p["expert_tensor_parallel"] != 1) << "which a run refuses";
    EXPECT_FALSE(p["exchange"] == "node" && p["expert_tensor_parallel"] == 4) << "a team stays on its node";
  }
  EXPECT_GT(teams[1], teams[2]);
  EXPECT_GT(teams[2], teams[4]);
  EXPECT_GT(teams[4], 0);
}

TEST_F(Plan, WhatIsMeasuredCanBePlannedWith) {
  const Output measured =
      run("bench machine c.yaml --repetitions 1 --message 64 --ranks-per-node 1 --out machine.yaml", 2);
  ASSERT_EQ(measured.code, 0) << measured.err;
  const Output o = run("plan c.yaml --ranks 2 --nodes 2 --machine machine.yaml --network 100,5 --memory 8 --show 1");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.out, "that fit 8.000 GiB a node"), 1) << o.out;
  const Output near = run("bench machine c.yaml --repetitions 1 --message 64 --out near.yaml", 2);
  ASSERT_EQ(near.code, 0) << near.err;
  const std::string text = read(folder_ / "near.yaml"),
                    picked = count(near.err, "near is by mpi") == 1 ? "mpi" : "window";
  EXPECT_EQ(count(text, "near:\n  transport: " + picked), 1) << text;
  EXPECT_EQ(count(text, "near_by_mpi:\n  transport: mpi"), picked == "window" ? 1 : 0) << text;
  const Output near_plan = run("plan c.yaml --ranks 2 --machine near.yaml --show 1");
  EXPECT_EQ(count(near_plan.out, "machine        near way by " + picked + ", far way by none"), 1) << near_plan.out;
  const Output alone = run("bench machine c.yaml --repetitions 1 --message 64");
  EXPECT_EQ(alone.code, 0) << alone.err;
  EXPECT_EQ(count(alone.out, "format: switchyard-machine-2"), 1);
  EXPECT_EQ(count(alone.out, "near:") + count(alone.out, "far:"), 0) << "one rank has nobody to send to";
}

// Of a machine that drifts: described before the steps and after each turn of them.
TEST_F(Plan, TakesTheMiddleOfAMachineThatDrifts) {
  const Output steps =
      run("bench overlap c.yaml --lanes 2 --warmup 1 --repetitions 2 --machine m.yaml layout.ranks_per_node=1", 2);
  ASSERT_EQ(steps.code, 0) << steps.err;
  EXPECT_FALSE(fs::exists(folder_ / "m-4.yaml")) << "one before, one after each turn";
  const std::string three = "plan c.yaml --ranks 2 --nodes 2 --machine m-1.yaml --machine m-2.yaml --machine m-3.yaml ";
  const Output o = run(three + "--show 2 --json p.jsonl");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.out, "with each of 3 descriptions a step takes"), 1) << o.out;
  for (const nlohmann::json& p : lines("p.jsonl")) {
    EXPECT_EQ(p["machines"], 3);
    EXPECT_GT(p["machine_drift"].get<double>(), 0.0);
  }
  plan::MachineDescription slow = plan::round_machine();  // everything takes twice as long
  for (auto& grid : slow.products.gflops) grid = {5.0};
  for (auto& stage : slow.stages) stage.forward *= 2.0, stage.backward *= 2.0;
  for (plan::Way* way : {&*slow.near, &*slow.far})
    way->latency *= 2.0, way->collective *= 2.0, way->bytes_per_s /= 2.0, way->buffer /= 2.0;
  write("fast.yaml", plan::to_yaml(plan::round_machine())), write("slow.yaml", plan::to_yaml(slow));
  const Output two = run("plan c.yaml --ranks 4 --nodes 2 --machine fast.yaml --machine slow.yaml --json two.jsonl");
  ASSERT_EQ(two.code, 0) << two.err;
  EXPECT_NEAR(lines("two.jsonl").front()["machine_drift"].get<double>(), 1.0 / 1.4, 0.05) << two.out;
  const Output others = run("plan c.yaml --ranks 4 --nodes 2 --machine fast.yaml --machine m-1.yaml");
  EXPECT_EQ(others.code, 2);
  EXPECT_EQ(count(others.err, "m-1.yaml: has other ranks, nodes or threads than fast.yaml"), 1) << others.err;
}

TEST_F(Plan, RefusesInOneSentence) {
  write("bad.yaml", "format: switchyard-machine-1\n");
  const std::pair<const char*, const char*> cases[] = {
      {"--ranks 4 --nodes 3 --machine m.yaml", "--nodes is 3, which does not divide --ranks 4"},
      {"--ranks 4 --nodes 2 --machine missing.yaml", "missing.yaml"},
      {"--ranks 4 --nodes 2 --machine bad.yaml", "bad.yaml:1:1: memory_gib: is missing"},
      {"--ranks 4 --nodes 2 --machine m.yaml --network fast", "--network: \"fast\" is not a number"},
      {"--ranks 4 --nodes 2 --machine m.yaml --network 0", "--network: 0 is out of range"},
      {"--ranks 4 --nodes 2 --machine m.yaml --network 1,2,3", "--network: has more than a rate and a latency"},
      {"--ranks 4 --machine m.yaml model.vocabulary=0", "model.vocabulary: is 0"},
      {"--ranks 4 --machine m.yaml layout.lanes=3", "layout.lanes"},
      {"--ranks 0 --machine m.yaml", "is out of range; must be in [1, 4096]"},
      {"--ranks 4 --machine m.yaml --network 100", "--network is about links between nodes"},
      {"--ranks 4 --nodes 2 --machine m.yaml layout.ranks_per_node=4", "layout.ranks_per_node: is 4, but --ranks 4"},
      {"--ranks 4 --nodes 2 --machine m.yaml layout.placement=p.yaml", "layout.placement: p.yaml: cannot be read"},
      {"--ranks 4 --nodes 4 --machine m.yaml moe.hidden_chunks=2 layout.expert_tensor_parallel=2 layout.exchange=node",
       "c.yaml: on 4 nodes of 1 ranks: layout.expert_tensor_parallel: 2 does not divide layout.ranks_per_node 1"},
      {"--parameters --nodes 2", "--parameters excludes --nodes"},
      {"--ranks 4", "--ranks and --machine are missing"}};
  for (const auto& [arguments, said] : cases) {
    const Output o = run(std::string("plan c.yaml ") + arguments);
    EXPECT_EQ(o.code, 2) << arguments << o.err;
    EXPECT_EQ(count(o.err, said), 1) << arguments << ": " << o.err;
  }
  const Output o = run("bench machine --ranks-per-node 2 --repetitions 1", 3);
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "--ranks-per-node is 2, which does not divide the 3 ranks"), 1) << o.err;
}

}  // namespace
}  // namespace switchyard
