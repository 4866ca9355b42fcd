// The benchmarks of whole steps as a user meets them: several configurations beside each other, one step of each in
// turn, and the tables that are made of them.
#include "support/json_lines.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

class BenchStep : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    write("c.yaml",
          "model: {vocabulary: 64, width: 16, heads: 2, blocks: 2, context: 16, hidden: 32}\n"
          "moe: {experts: 4, top_k: 2, hidden: 16, combine_groups: 2}\ntrain: {batch: 8, grains: 8}\n");
  }
};

TEST_F(BenchStep, VariantsStandBesideTheFirst) {
  const Output o =
      run("bench step c.yaml --with 'layout.schedule=interleaved  layout.lanes=2' --with moe.top_k=1 train.seed=5 "
          "--warmup 1 --repetitions 4 --json b.json",
          2);
  ASSERT_EQ(o.code, 0) << o.err;
  const auto all = test::json_lines(o.out);
  ASSERT_EQ(test::json_lines(read(folder_ / "b.json")).size(), all.size());
  ASSERT_EQ(all.size(), 3u);
  EXPECT_FALSE(all[0].contains("with") || all[0].contains("step_ratio"));
  EXPECT_EQ(all[1].at("with"), "layout.schedule=interleaved  layout.lanes=2");
  EXPECT_EQ(all[1].at("lanes"), 2);
  EXPECT_EQ(all[1].at("last_loss"), all[0].at("last_loss")) << "no way changes a bit";
  EXPECT_EQ(all[2].at("top_k"), 1);
  EXPECT_EQ(all[2].at("lanes"), 1) << "each changes the first one alone";
  EXPECT_NE(all[2].at("last_loss"), all[0].at("last_loss"));
  for (int i = 1; i < 3; ++i) {
    // A ratio of one turn lies between those of the fastest and the slowest steps of all turns.
    const auto most = [&](int of, const char* tokens) { return all[of].at(tokens).get<double>(); };
    const double ratio = all[i].at("step_ratio");
    EXPECT_GE(ratio, most(0, "tokens_per_s_least") / most(i, "tokens_per_s_most") * 0.999);
    EXPECT_LE(ratio, most(0, "tokens_per_s_most") / most(i, "tokens_per_s_least") * 1.001);
  }
  EXPECT_GT(all[0].at("row_bytes").get<int>(), all[2].at("row_bytes").get<int>()) << "counts are each one's own";
}

TEST_F(BenchStep, OverlapIsATableBesideTheBound) {
  const Output o =
      run("bench overlap c.yaml --lanes 2 layout.ranks_per_node=1 --warmup 1 --repetitions 2 --json b.json --with "
          "'layout.expert_parallel=1 layout.zero=1' --with 'layout.recompute=experts layout.local_first=true'",
          2);
  ASSERT_EQ(o.code, 0) << o.err;
  for (const char* way : {"pairwise serial 1 ", "node serial 1 ", "pairwise interleaved 2 ", "node interleaved 2 ",
                          "pairwise pipelined 2 ", "node pipelined 2 ", "\nexpert_parallel=1 zero=1 ",
                          "\nrecompute=experts local_first=true ", "all end with the loss "})
    EXPECT_EQ(count(o.out, way), 1) << way << "\n" << o.out;
  const auto all = test::json_lines(read(folder_ / "b.json"));
  ASSERT_EQ(all.size(), 8u);
  EXPECT_LT(all[1].at("row_bytes_across"), all[0].at("row_bytes_across"));
  for (const auto& line : all) EXPECT_EQ(line.at("last_loss"), all[0].at("last_loss")) << line;
  // The serial step is its own reference: nothing is removed, and a step is never shorter than its bound says.
  const std::string serial = o.out.substr(o.out.find("pairwise serial 1 "));
  double step = 0.0, ratio = 0.0, busy = 0.0, exposed = 0.0, share = 0.0, work = 0.0, eta = 0.0, removed = 0.0,
         bound = 0.0;
  ASSERT_EQ(std::sscanf(serial.c_str(), "pairwise serial 1 %lf %lf %lf %lf %lf %lf %lf %lf %lf", &step, &ratio, &busy,
                        &exposed, &share, &work, &eta, &removed, &bound),
            9)
      << serial;
  EXPECT_EQ(ratio, 1.0);
  EXPECT_EQ(removed, 0.0);
  EXPECT_LE(work + share, 100.2) << "what is exposed is no work";
  EXPECT_NEAR(bound, std::max(all[0].at("compute_ms").get<double>(), busy), 0.2);
  for (const auto& line : all) {
    const auto number = [&](const char* key) { return line.at(key).get<double>(); };
    EXPECT_DOUBLE_EQ(number("exposed_share"), number("exposed_ms") / number("step_ms"));
    EXPECT_DOUBLE_EQ(number("utilisation"), number("compute_ms") / number("step_ms"));
    EXPECT_GT(number("compute_ms"), 0.0);
  }
}

TEST_F(BenchStep, OverlapComparesLayoutsAlone) {
  const Output o = run("bench overlap c.yaml --lanes 2 --with 'layout.zero=1 train.batch=16'", 2);
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "--with train.batch=16: changes more than the layout"), 1) << o.err;
}

TEST_F(BenchStep, DeterminismIsALineForEachNumberOfExperts) {
  for (const int ranks : {0, 2}) {
    const Output o = run(
        "bench determinism c.yaml --experts 4,8 --warmup 1 --repetitions 2 --json " + std::to_string(ranks) + ".json",
        ranks);
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(count(o.out, "\n"), 3) << o.out;
    const auto all = test::json_lines(read(folder_ / (std::to_string(ranks) + ".json")));
    ASSERT_EQ(all.size(), 8u);  // two of each, in an order and its reverse
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(all[i].at("experts"), i < 4 ? 4 : 8);
      EXPECT_EQ(all[i].at("determinism"), i % 4 == 1 || i % 4 == 2 ? "layout" : "run");
    }
  }
}

TEST_F(BenchStep, WhatCannotBeMeasuredIsSaidBefore) {
  for (const auto& [options, message] :
       {std::pair<std::string, const char*>{"step c.yaml --with moe.top_k=x", "moe.top_k"},
        {"step c.yaml --with moe.top_k=5", "5 is more than moe.experts 4"},
        {"step c.yaml --with layout.threads=2", "c.yaml with 'layout.threads=2': layout.threads: is not 1"},
        {"step c.yaml --with 'moe.top_k=1 model.vocabulary=0'",
         "c.yaml with 'moe.top_k=1 model.vocabulary=0': model.vocabulary: is 0"},
        {"overlap c.yaml --lanes 3", "must be a power of two"},
        {"overlap c.yaml model.vocabulary=0", "model.vocabulary: is 0 (a benchmark has no corpus"},
        {"overlap c.yaml layout.lanes=2", "layout.lanes: given twice"},
        {"determinism c.yaml --experts 1", "2 is more than moe.experts 1"}}) {
    const Output o = run("bench " + options + " --json b.json");
    EXPECT_EQ(o.code, 2) << options;
    EXPECT_EQ(count(o.err, message), 1) << options << ": " << o.err;
    EXPECT_EQ(o.out, "") << options;
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b.json"));
}

}  // namespace
}  // namespace switchyard
