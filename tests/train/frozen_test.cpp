// train.frozen: named parts keep values and moments to the bit and do not count in the gradient norm; train.keep_steps.
#include <cmath>
#include <map>

#include "record/record_reader.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

class Frozen : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    make_tiny();
    ASSERT_EQ(run("train tiny.yaml --run trunk train.keep=9").code, 0);
  }
  /// Sums of the tensors of a run's newest checkpoint by name.
  std::map<std::string, std::string> tensors(const std::string& of) const {
    std::map<std::string, std::string> found;
    std::istringstream lines(run("verify --digest " + of).out);
    for (std::string name, sum; lines >> name >> sum;)
      if (name.starts_with("checkpoint/") && name != "checkpoint/state") found[name] = sum;
    EXPECT_FALSE(found.empty());
    return found;
  }
  /// Names of tensors that are not those of the trunk.
  std::string changed(const std::string& branch) const {
    const auto before = tensors("trunk"), after = tensors(branch);
    std::string names;
    for (const auto& [name, sum] : after)
      if (before.at(name) != sum) names += name + "\n";
    return names;
  }
  double first_norm(const std::string& of) const {
    return record::RecordReader((folder_ / of / "segments/000/run.h5").string())
        .read<double>("gradient_norm", 0, 1)
        .front();
  }
};

// Weight decay moves no frozen part either; what is not frozen moves in value and moments.
TEST_F(Frozen, PartsKeepTheirBitsOnEveryLayout) {
  const std::string options = " train.steps=8 train.weight_decay=0.5 train.frozen=[router,experts,embedding]";
  std::string all;
  for (const auto& [name, sum] : tensors("trunk")) {
    const bool kept = name.find(".moe.") != name.npos || name.starts_with("checkpoint/embedding");
    if (!kept) all += name + "\n";
  }
  ASSERT_EQ(run("train tiny.yaml --from trunk --run one" + options).code, 0);
  EXPECT_EQ(changed("one"), all);
  for (const char* layout : {"layout.zero=1", "layout.expert_parallel=1 layout.zero=1", ""}) {
    fs::remove_all(folder_ / "two");
    ASSERT_EQ(run("train tiny.yaml --from trunk --run two" + options + " " + layout, 2).code, 0);
    EXPECT_EQ(tensors("two"), tensors("one")) << layout;
  }
  ASSERT_EQ(run("resume one train.steps=10").code, 0);
  EXPECT_EQ(changed("one"), all);
  ASSERT_EQ(run("train tiny.yaml --from trunk --run rest train.steps=8 "
                "train.frozen=[attention,norms]")
                .code,
            0);
  const std::string rest = changed("rest");
  EXPECT_EQ(count(rest, "attention"), 0) << rest;
  EXPECT_EQ(count(rest, "norm"), 0) << rest;
  EXPECT_GT(count(rest, "experts"), 0) << rest;
}

// Of the same gradients: what two sets of parts that are all have together is the norm of everything.
TEST_F(Frozen, TheGradientNormIsOfWhatIsUpdated) {
  const std::string from = "train tiny.yaml --from trunk train.steps=6 --run ";
  ASSERT_EQ(run(from + "all").code, 0);
  ASSERT_EQ(run(from + "a train.frozen=[embedding,attention,norms]").code, 0);
  ASSERT_EQ(run(from + "b train.frozen=[router,experts]").code, 0);
  ASSERT_EQ(run(from + "b2 train.frozen=[router,experts]", 2).code, 0);
  const double all = first_norm("all"), a = first_norm("a"), b = first_norm("b");
  EXPECT_GT(a, 0.01 * all);
  EXPECT_GT(b, 0.01 * all);
  EXPECT_NEAR(std::hypot(a, b), all, 1e-12 * all);
  EXPECT_EQ(first_norm("b2"), b);
}

TEST_F(Frozen, WrongPartsAreRefused) {
  for (const auto& [parts, message] :
       {std::pair("[router,head]", "names head, which the model does not have (its head is the embedding"),
        std::pair("[feed_forward]", "names feed_forward, which the model does not have (it has embedding, norms"),
        std::pair("[router,router]", "names router twice"), std::pair("[rooter]", "item 1: "),
        std::pair("router", "must be a list of names: embedding, norms"),
        std::pair("[embedding,norms,attention,router,experts]", "nothing would be trained")}) {
    const Output o = run(std::string("train tiny.yaml --run b train.frozen=") + parts);
    EXPECT_EQ(o.code, 2) << parts;
    EXPECT_EQ(count(o.err, message), 1) << parts << ": " << o.err;
  }
  const Output o = run("resume trunk train.steps=8 train.frozen=[router]");
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "train.frozen: is [] in the run and cannot become [router]"), 1) << o.err;
}

TEST_F(Frozen, KeptCheckpointsStay) {
  ASSERT_EQ(run("train tiny.yaml --run r train.steps=20 train.keep=1 train.keep_steps=[4,10] train.checkpoint_every=6 "
                "record.flush_every=2")
                .code,
            0);
  const auto stands = [&](int step) {
    char name[80];
    std::snprintf(name, sizeof name, "r/checkpoints/step-%08d/manifest.json", step);
    return fs::exists(folder_ / name);
  };
  std::string steps;
  for (int step = 0; step <= 30; ++step)
    if (stands(step)) steps += std::to_string(step) + " ";
  EXPECT_EQ(steps, "4 10 20 ");
  ASSERT_EQ(run("resume r train.steps=24 train.keep_steps=[10]").code, 0);
  EXPECT_FALSE(stands(4));
  EXPECT_TRUE(stands(10));
  EXPECT_EQ(run("verify r").code, 0);
  const Output o = run("train tiny.yaml --run s train.keep_steps=[3]");
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "has 3, which record.flush_every 2 does not divide"), 1) << o.err;
}

}  // namespace
}  // namespace switchyard
