// A mixture that begins as copies of a dense model: its first evaluation is the dense model's, on every layout.
#include <cmath>
#include <nlohmann/json.hpp>

#include "config/parentage.hpp"
#include "record/record_reader.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

class Upcycle : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    make_tiny();
    write("dense.yaml", read(folder_ / "tiny.yaml"));
    ASSERT_EQ(
        run("train dense.yaml --run dense moe.experts=0 moe.aux_loss=0 train.learning_rate=0.02 model.hidden=32").code,
        0);
  }
  double loss(const std::string& of, const std::string& segment = "000", std::int64_t evaluation = 0) const {
    return record::RecordReader((folder_ / of / "segments" / segment / "run.h5").string())
        .read<double>("evaluation_loss", evaluation, 1)
        .front();
  }
  std::string total(const std::string& of) const { return run("verify --digest " + of).out; }
  void refused(const std::string& arguments, const std::string& message) const {
    const Output o = run(arguments);
    EXPECT_EQ(o.code, 2) << arguments << ": " << o.err;
    EXPECT_EQ(count(o.err, message), 1) << arguments << ": " << o.err;
    EXPECT_FALSE(fs::exists(folder_ / "b"));
  }
  /// A step that changes nothing, with an evaluation after it.
  static inline const std::string still =
      " moe.hidden=32 moe.aux_loss=0 moe.normalise=after train.steps=1 train.warmup=0 train.evaluate_every=1 "
      "train.learning_rate=1e-30 train.min_learning_rate=0 ";
};

TEST(UpcycleNote, IsOfWeightsThatDoNotSumToOne) {
  Config c;
  c.moe.top_k = 2;
  EXPECT_EQ(upcycle_note(c), "") << "auto of two choices is after";
  c.moe.top_k = 1;
  EXPECT_NE(upcycle_note(c).find("moe.normalise is before"), std::string::npos) << upcycle_note(c);
  c.moe.router = RouterKind::hash;
  EXPECT_EQ(upcycle_note(c), "");
}

TEST_F(Upcycle, BeginsAsTheDenseModel) {
  const double dense = loss("dense", "000", 1);
  ASSERT_LT(dense, 5.0);  // it has learned something, so copies of other numbers would show
  for (const char* mixture :
       {"moe.experts=4 moe.top_k=1", "moe.experts=4 moe.top_k=2", "moe.experts=4 moe.hidden_chunks=4",
        "moe.router=hash moe.top_k=1", "moe.every=2", "moe.experts=40 moe.top_k=3", "moe.router=sigmoid moe.top_k=2"}) {
    fs::remove_all(folder_ / "m");
    const Output o = run("train tiny.yaml --upcycle dense --run m" + still + mixture);
    ASSERT_EQ(o.code, 0) << mixture << ": " << o.err;
    EXPECT_NEAR(loss("m"), dense, 2e-6 * dense) << mixture;
    EXPECT_EQ(count(o.err, "do not sum to 1"), 0) << o.err;
    EXPECT_EQ(run("verify m").code, 0);
  }
  const nlohmann::json parent = nlohmann::json::parse(read(folder_ / "m/parent.json"));
  EXPECT_EQ(parent["kind"], "upcycled");
  EXPECT_EQ(parent["step"], 4);
  EXPECT_EQ(parent["changes"]["moe.experts"], nlohmann::json({"0", "4"}));
}

TEST_F(Upcycle, OneExpertIsADenseModelToo) {
  for (const char* chunks : {"1", "2"}) {
    const std::string one = std::string("one") + chunks;
    ASSERT_EQ(run("train tiny.yaml --run " + one +
                  " moe.experts=1 moe.top_k=1 moe.normalise=after moe.aux_loss=0 "
                  "train.learning_rate=0.02 moe.hidden=32 moe.hidden_chunks=" +
                  chunks)
                  .code,
              0);
    for (const char* mixture : {" --run m1 moe.hidden_chunks=1", " --run m4 moe.hidden_chunks=4"})
      ASSERT_EQ(run("train tiny.yaml --upcycle " + one + still + mixture).code, 0);
    EXPECT_NEAR(loss("m1"), loss(one, "000", 1), 1e-5);
    EXPECT_NEAR(loss("m4"), loss(one, "000", 1), 1e-5);
    fs::remove_all(folder_ / "m1"), fs::remove_all(folder_ / "m4");
  }
}

TEST_F(Upcycle, TheSameBitsOnEveryLayoutAndAfterAKill) {
  const std::string train = "train tiny.yaml --upcycle dense@4 moe.hidden=32 moe.hidden_chunks=2 train.steps=6 --run ";
  ASSERT_EQ(run(train + "one").code, 0);
  int number = 0;
  for (const auto& [ranks, layout] :
       {std::pair(2, ""), std::pair(2, "layout.expert_parallel=1 layout.zero=1"),
        std::pair(2, "layout.expert_parallel=2 layout.expert_tensor_parallel=2"), std::pair(3, "layout.zero=1")}) {
    const std::string name = "l" + std::to_string(number++);
    const Output o = run(train + name + " " + layout, ranks);
    ASSERT_EQ(o.code, 0) << layout << ": " << o.err;
    EXPECT_EQ(total(name), total("one")) << layout;
  }
  const Output stopped = run(train + "r train.checkpoint_every=0 train.max_time=0.001");
  ASSERT_EQ(stopped.code, 75) << stopped.err;
  fs::remove_all(folder_ / "r/checkpoints");  // as before the first one
  ASSERT_EQ(run("resume r train.max_time=0").code, 0);
  EXPECT_EQ(run("verify r").code, 0);
  EXPECT_EQ(count(read(folder_ / "r/segments/001/log.txt"), "upcycled of "), 1);
}

TEST_F(Upcycle, WhatDoesNotFitIsRefused) {
  const std::string from = "train tiny.yaml --upcycle dense --run b ";
  refused(from, "moe.hidden is 16, but the feed-forward of block 0 is 32 wide");
  refused(from + "moe.hidden=32 moe.experts=0", "moe.experts gives no block experts");
  refused(from + "moe.hidden=32 model.width=32", "model.width is 32, but 16 in the run to start from");
  refused(from + "moe.hidden=32 moe.shared_experts=1", "moe.shared_experts is 1, but the dense run has no source");
  refused(from + "moe.hidden=32 moe.every=2 model.hidden=64",
          "model.hidden is 64, but the feed-forward of block 0 is 32");
  refused(from + "moe.hidden=32 --from dense", "--upcycle");
  ASSERT_EQ(run("train tiny.yaml --run mixture").code, 0);
  refused("train tiny.yaml --upcycle mixture --run b", "in the run to start from, which must be dense");
  // Weights that do not sum to 1 are allowed, and told.
  const Output o = run("train tiny.yaml --upcycle dense --run b moe.hidden=32");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.err, "do not sum to 1 (moe.normalise is before"), 1) << o.err;
}

}  // namespace
}  // namespace switchyard
