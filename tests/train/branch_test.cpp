// Runs that start from a checkpoint of another: the same bits as the run that was never cut, what is refused, and
// kills.
#include <nlohmann/json.hpp>

#include "support/program.hpp"
#include "tensor/types.hpp"

namespace switchyard {
namespace {

class Branch : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    make_tiny();
  }
  std::string digest(const std::string& path) const {
    const Output o = run("verify --digest " + path);
    EXPECT_EQ(o.code, 0) << path << ": " << o.err;
    return o.out;
  }
  /// The sums of a checkpoint's tensors and state among those of a run.
  std::string of_checkpoint(const std::string& run) const {
    std::string kept;
    std::istringstream lines(digest(run));
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("checkpoint/")) kept += line + "\n";
    EXPECT_NE(kept, "");
    return kept;
  }
  void sound(const std::string& path) const {
    const Output o = run("verify " + path);
    EXPECT_EQ(o.code, 0) << o.err;
  }
  void refused(const std::string& arguments, const std::string& message, int code = 2) const {
    const Output o = run(arguments);
    EXPECT_EQ(o.code, code) << arguments << ": " << o.err;
    EXPECT_EQ(count(o.err, message), 1) << arguments << ": " << o.err;
  }
  nlohmann::json json(const std::string& file) const { return nlohmann::json::parse(read(folder_ / file)); }
};

// The main promise: of the same options a branch has the rows, samples and checkpoint of the run that went on.
TEST_F(Branch, OfTheSameOptionsIsTheRunThatWentOnOnEveryLayout) {
  ASSERT_EQ(run("train tiny.yaml --run trunk moe.bias_rule=sign").code, 0);
  fs::copy(folder_ / "trunk", folder_ / "straight", fs::copy_options::recursive);
  ASSERT_EQ(run("resume straight train.steps=10").code, 0);
  const std::string rows = digest("straight/segments/001/run.h5"), tensors = of_checkpoint("straight"),
                    routing = digest("straight/segments/001/evaluation.h5");
  const std::string trunk = digest("trunk");
  int number = 0;
  for (const auto& [ranks, layout] : {std::pair(0, ""), std::pair(2, ""), std::pair(2, "layout.expert_parallel=1"),
                                      std::pair(3, "layout.zero=1 layout.threads=2")}) {
    const std::string name = "b" + std::to_string(number++);
    const Output o =
        run("train tiny.yaml --from trunk@4 --run " + name + " moe.bias_rule=sign train.steps=10 " + layout, ranks);
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(digest(name + "/segments/000/run.h5"), rows) << layout;
    EXPECT_EQ(digest(name + "/segments/000/evaluation.h5"), routing) << layout;
    EXPECT_EQ(of_checkpoint(name), tensors) << layout;
    sound(name);
  }
  EXPECT_EQ(digest("trunk"), trunk);
  EXPECT_FALSE(fs::exists(folder_ / "trunk/parent.json"));
}

// A trunk at a constant rate with a decayed branch is the run whose rate was constant and then fell; nothing else is.
TEST_F(Branch, ADecayedBranchIsTheStraightRunOfThatSchedule) {
  const std::string wsd = " train.schedule=wsd train.decay_share=0.5 train.steps=8";
  ASSERT_EQ(run("train tiny.yaml --run straight" + wsd).code, 0);
  ASSERT_EQ(run("train tiny.yaml --run trunk train.schedule=constant train.steps=6 train.keep=9").code, 0);
  ASSERT_EQ(run("train tiny.yaml --from trunk@4 --run branch" + wsd).code, 0);
  EXPECT_EQ(of_checkpoint("branch"), of_checkpoint("straight"));
  ASSERT_EQ(run("train tiny.yaml --from trunk@6 --run later" + wsd).code,
            0);  // two steps at the constant rate too many
  EXPECT_NE(of_checkpoint("later"), of_checkpoint("straight"));
}

TEST_F(Branch, SaysWhereItComesFrom) {
  ASSERT_EQ(run("train tiny.yaml --run trunk").code, 0);
  ASSERT_EQ(run("train tiny.yaml --from trunk --run b train.steps=8 moe.aux_loss=0.5 train.schedule=linear").code, 0);
  const std::string sum = json("b/parent.json")["manifest_sha256"];
  ASSERT_EQ(std::system(("cd " + folder_.string() +
                         " && sha256sum trunk/checkpoints/step-00000004/manifest.json | cut -c1-64 "
                         "| tr -d '\\n' >sum")
                            .c_str()),
            0);
  EXPECT_EQ(read(folder_ / "sum"), sum);
  for (const nlohmann::json& parent :
       {json("b/parent.json"), json("b/checkpoints/step-00000008/state.json")["parent"]}) {
    EXPECT_EQ(parent["kind"], "branch");
    EXPECT_EQ(parent["run"], (folder_ / "trunk").string());
    EXPECT_EQ(parent["step"], 4);
    EXPECT_EQ(parent["manifest_sha256"], sum);
    EXPECT_EQ(parent["changes"].size(), 3u);
    EXPECT_EQ(parent["changes"]["train.steps"], nlohmann::json({"4", "8"}));
    EXPECT_EQ(parent["changes"]["train.schedule"], nlohmann::json({"cosine", "linear"}));
  }
  const std::string log = read(folder_ / "b/segments/000/log.txt");
  EXPECT_EQ(count(log, "branch of " + (folder_ / "trunk/checkpoints/step-00000004").string()), 1) << log;
  EXPECT_EQ(count(log, "moe.aux_loss is 0.5, was 0.01"), 1) << log;
  EXPECT_EQ(count(log, "evaluation step=6 "), 1) << log;
}

// Its own checkpoints are its own; what is killed before the first one starts from its parent again.
TEST_F(Branch, AKillBeforeItsFirstCheckpointStartsFromTheParentAgain) {
  ASSERT_EQ(run("train tiny.yaml --run trunk").code, 0);
  const std::string options = " train.steps=100000 train.checkpoint_every=0 train.evaluate_every=0";
  const Output killed = run("train tiny.yaml --from trunk --run r" + options, 0,
                            "while ! grep -q 'step=10 ' r/segments/000/log.txt 2>/dev/null; do sleep 0.05; done; kill "
                            "-KILL $job");
  ASSERT_EQ(killed.code, 137) << killed.err;
  sound("r");
  const Output again = run("resume r train.steps=1000000 train.max_time=0.001", 2);
  EXPECT_EQ(again.code, 75) << again.err;
  EXPECT_EQ(count(again.out, "no checkpoint yet: starting from step 4"), 1) << again.out;
  EXPECT_EQ(count(again.err, "are missing"), 0) << again.err;
  sound("r");
  ASSERT_EQ(
      run("train tiny.yaml --from trunk --run whole train.checkpoint_every=0 train.evaluate_every=0 train.steps=5")
          .code,
      0);
  EXPECT_TRUE(fs::exists(folder_ / "r/checkpoints/step-00000005"));
  EXPECT_EQ(run("resume r train.max_time=0.001").code, 75);  // and from its own one from then on
  EXPECT_TRUE(fs::exists(folder_ / "r/checkpoints/step-00000006"));
  sound("r");
}

// Until its first checkpoint it needs its parent's, and the very one.
TEST_F(Branch, WithoutACheckpointOfItsOwnItNeedsTheParents) {
  ASSERT_EQ(run("train tiny.yaml --run trunk").code, 0);
  ASSERT_EQ(run("train tiny.yaml --from trunk --run r train.steps=9 train.max_time=0.001").code, 75);
  fs::remove_all(folder_ / "r/checkpoints");
  const std::string manifest = read(folder_ / "trunk/checkpoints/step-00000004/manifest.json");
  write("trunk/checkpoints/step-00000004/manifest.json", manifest + " ");
  refused("resume r", "has another sha256 than when the run was started from it", 4);
  ASSERT_EQ(run("resume trunk train.steps=8").code, 0);  // which removes it
  refused("resume r", "step-00000004, from which the run starts, is gone; put it back");
  EXPECT_EQ(run("verify r").code, 0);
}

// What stands while a job is killed between parent.json and config.yaml.
TEST_F(Branch, AKillBeforeItHasBegunLeavesNothingInTheWay) {
  ASSERT_EQ(run("train tiny.yaml --run trunk").code, 0);
  ASSERT_EQ(run("train tiny.yaml --from trunk --run b train.steps=6").code, 0);
  for (const char* name : {"r", "s"}) {
    fs::create_directory(folder_ / name);
    fs::copy(folder_ / "b/parent.json", folder_ / name / "parent.json");
  }
  ASSERT_EQ(run("train tiny.yaml --from trunk --run r train.steps=6").code, 0);
  EXPECT_EQ(of_checkpoint("r"), of_checkpoint("b"));
  ASSERT_EQ(run("train tiny.yaml --run s").code, 0);
  EXPECT_FALSE(fs::exists(folder_ / "s/parent.json"));
  EXPECT_EQ(of_checkpoint("s"), of_checkpoint("trunk"));
}

TEST_F(Branch, AnotherArchitectureIsRefusedByName) {
  ASSERT_EQ(run("train tiny.yaml --run trunk").code, 0);
  const std::string from = "train tiny.yaml --from trunk --run b train.steps=8 ";
  for (const auto& [option, message] :
       {std::pair("model.width=32", "model.width is 32, but 16 in the run to start from"),
        std::pair("model.kv_heads=1", "model.kv_heads is 1, but 0"),
        std::pair("model.tied=false", "model.tied is false"),
        std::pair("model.rope_base=1e5", "model.rope_base is 1e+05"),
        std::pair("moe.experts=8", "moe.experts is 8, but 4"), std::pair("moe.top_k=1", "moe.top_k is 1, but 2"),
        std::pair("moe.experts_per_block=[4,0]", "moe.experts_per_block is [4, 0]"),
        std::pair("moe.router=sigmoid moe.normalise=after", "moe.router is sigmoid, but softmax"),
        std::pair("moe.router_prior=1", "moe.router_prior is 1, but 0"),
        std::pair("train.batch=8", "its steps would be of another number of tokens"),
        std::pair("model.context=8", "model.context is 8, but 16")})
    refused(from + option, message);
  EXPECT_FALSE(fs::exists(folder_ / "b"));
  const Output both = run(from + "model.width=32 moe.experts=8");  // all at once
  EXPECT_EQ(count(both.err, "in the run to start from"), 2) << both.err;
  // The same in other words, and what only trains, is none.
  const Output same = run(from +
                          "model.kv_heads=2 model.head_dim=8 moe.experts_per_block=[4,4] model.init_std=0.5 "
                          "model.hidden=64 train.grains=2 data.seed=7");
  EXPECT_EQ(same.code, 0) << same.err;
}

// Where the seed says to which experts a token goes, another one is another model.
TEST_F(Branch, TheSeedOfAHashIsPartOfTheModel) {
  const std::string hash = " moe.router=hash moe.aux_loss=0";
  ASSERT_EQ(run("train tiny.yaml --run trunk" + hash).code, 0);
  refused("train tiny.yaml --from trunk --run b train.steps=8 train.seed=9" + hash,
          "train.seed is 9, but 1 in the run to start from (which expert a token id is sent to is drawn from it)");
  ASSERT_EQ(run("train tiny.yaml --run learned").code, 0);
  EXPECT_EQ(run("train tiny.yaml --from learned --run c train.steps=8 train.seed=9").code, 0);
}

TEST_F(Branch, WrongParentsAreRefused) {
  ASSERT_EQ(run("train tiny.yaml --run trunk").code, 0);
  for (const auto& [from, message] :
       {std::pair("nowhere", "nowhere: no run there"), std::pair("corpus", "corpus has no checkpoint to start from"),
        std::pair("trunk@3", "trunk has no checkpoint of step 3 (it has those of steps 2, 4;"),
        std::pair("trunk@x", "\"x\" is no step"), std::pair("./b/../b", "b is the run's own folder")})
    refused(std::string("train tiny.yaml --run b train.steps=8 --from ") + from, message);
  refused("train tiny.yaml --run b --from trunk", "train.steps is 4, but ");
  EXPECT_FALSE(fs::exists(folder_ / "b"));
  // A damaged tensor file is found when it is read, and nothing has been made.
  const auto dense = folder_ / "trunk/checkpoints/step-00000004/dense.h5";
  fs::resize_file(dense, fs::file_size(dense) - 1);
  refused("train tiny.yaml --run b --from trunk train.steps=8", "others, of step 2; start from one of them", 4);
  EXPECT_FALSE(fs::exists(folder_ / "b"));
  EXPECT_EQ(run("train tiny.yaml --run b --from trunk@2 train.steps=8").code, 0);
}

TEST_F(Branch, TokensMustMeanTheSame) {
  ASSERT_EQ(
      run("data build a.txt b.txt c.txt --out pieces --tokenizer bpe --vocabulary 300 --validation-share 0.3").code, 0);
  ASSERT_EQ(run("data build a.txt b.txt --out half --tokenizer bytes --validation-share 0.3").code, 0);
  ASSERT_EQ(run("train tiny.yaml --run trunk").code, 0);
  refused("train tiny.yaml --from trunk --run b train.steps=8 data.path=pieces", "model.vocabulary is 300, but 257");
  ASSERT_EQ(run("train tiny.yaml --run wide model.vocabulary=300").code, 0);
  refused("train tiny.yaml --from wide --run b train.steps=8 model.vocabulary=300 data.path=pieces",
          "the same ids would mean other tokens");
  EXPECT_FALSE(fs::exists(folder_ / "b"));
  EXPECT_EQ(run("train tiny.yaml --from trunk --run b train.steps=8 data.path=half").code, 0);
  sound("b");
}

// The biases of a balancer that the branch does not have.
TEST_F(Branch, AnotherBalancerIsAllowed) {
  ASSERT_EQ(run("train tiny.yaml --run trunk moe.bias_rule=sign moe.bias_rate=0.1").code, 0);
  const Output o = run("train tiny.yaml --from trunk --run b train.steps=8");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.err, "the selection biases of the parent are left behind"), 1) << o.err;
  for (const auto& of_layer : json("b/checkpoints/step-00000008/state.json")["bias"])
    for (const double bias : of_layer) EXPECT_EQ(bias, 0.0);
  EXPECT_EQ(run("train tiny.yaml --from b --run c train.steps=12 moe.bias_rule=proportional").code, 0);
  sound("c");
}

TEST_F(Branch, VerifyKnowsTheParent) {
  ASSERT_EQ(run("train tiny.yaml --run trunk").code, 0);
  ASSERT_EQ(run("train tiny.yaml --from trunk --run b train.steps=8").code, 0);
  const std::string kept = read(folder_ / "b/parent.json");
  Output o = run("verify b");
  EXPECT_EQ(o.code, 0);
  EXPECT_EQ(count(o.err, "note"), 0) << o.err;
  fs::remove(folder_ / "b/parent.json");
  refused("verify b", "b/parent.json is missing", 4);
  refused("resume b train.steps=10", "b/parent.json is missing", 4);
  auto other = nlohmann::json::parse(kept);
  other["step"] = 2;
  write("b/parent.json", other.dump());
  refused("verify b", "parent.json is damaged (it names another parent than the provenance", 4);
  refused("resume b train.steps=10", "parent.json is damaged (it names another parent than the provenance", 4);
  write("b/parent.json", kept.substr(0, 40));
  refused("verify b", "parent.json is damaged", 4);
  write("trunk/parent.json", kept);
  refused("verify trunk", "trunk/parent.json names a parent, but the provenance", 4);
  fs::remove(folder_ / "trunk/parent.json");
  write("b/parent.json", kept);
  ASSERT_EQ(run("resume trunk train.steps=8").code, 0);  // which removes the checkpoint of step 4
  o = run("verify b");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.err, "is gone; the run cannot be made again from it"), 1) << o.err;
  ASSERT_EQ(run("resume b train.steps=10").code, 0);  // which needs it no more
  sound("b");
}

}  // namespace
}  // namespace switchyard
