// One layer by itself, what a configuration takes, and steps and layers by request, as a user or a driver meets them.
#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "bench/loads.hpp"
#include "config/values.hpp"
#include "support/json_lines.hpp"
#include "support/kinds.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

using bench::Load;
using bench::LoadShape;

const std::vector<LoadShape> shapes{{64, 16, 4},    {16, 16, 16}, {5, 64, 1}, {100, 7, 3},
                                    {2048, 256, 1}, {512, 8, 2},  {9, 1, 1}};

TEST(Loads, AreWhatTheyAreCalled) {
  for (const LoadShape& shape : shapes) {
    const std::vector<std::int64_t> even = bench::expert_loads(Load::balanced, shape);
    const auto [least, most] = std::minmax_element(even.begin(), even.end());
    EXPECT_LE(*most - *least, 1);
  }
  const LoadShape shape{16384, 64, 8};
  const std::vector<std::int64_t> jittered = bench::expert_loads(Load::jittered, shape);
  double squares = 0.0;
  for (const std::int64_t load : jittered) squares += (double(load) / 2048.0 - 1.0) * (double(load) / 2048.0 - 1.0);
  EXPECT_NEAR(std::sqrt(squares / 64.0), 0.1, 0.03);
  std::vector<std::int64_t> zipf = bench::expert_loads(Load::zipf, shape);
  std::sort(zipf.rbegin(), zipf.rend());
  EXPECT_EQ(zipf[0], shape.tokens) << "the first would have more";
  EXPECT_NEAR(double(zipf[4]) / double(zipf[9]), 2.0, 0.01);
}

TEST(Loads, AreMetByChoicesOfDifferentExperts) {
  for (const LoadShape& shape : shapes)
    for (const Load load : test::all_of<Load>()) {
      const std::vector<std::int64_t> loads = bench::expert_loads(load, shape);
      EXPECT_EQ(std::accumulate(loads.begin(), loads.end(), std::int64_t{0}), shape.rows());
      const std::vector<std::int32_t> choices = bench::forced_choices(loads, shape);
      std::vector<std::int64_t> found(shape.experts, 0);
      for (std::int64_t t = 0; t < shape.tokens; ++t) {
        const auto first = choices.begin() + t * shape.top_k;
        EXPECT_EQ(std::set<int>(first, first + shape.top_k).size(), static_cast<std::size_t>(shape.top_k));
        for (int j = 0; j < shape.top_k; ++j) ++found.at(first[j]);
      }
      EXPECT_EQ(found, loads);
    }
}

class BenchParts : public Program {
 protected:
  /// The lines that bench/gpu.py writes about this program, in fp32.
  std::vector<nlohmann::json> drive(const std::string& arguments) {
    const std::string command =
        "cd '" + folder_.string() +
        "' && env -i PATH=\"$PATH\" HOME=/tmp PYTHONDONTWRITEBYTECODE=1 OMPI_ALLOW_RUN_AS_ROOT=1 "
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_plm_rsh_agent=false python3 '" SWITCHYARD_TEST_DIR
        "/../bench/gpu.py' " +
        arguments + " --program '" + binary_.string() + "' --precision fp32 --settle 0 --out r.jsonl >out 2>err";
    EXPECT_EQ(std::system(command.c_str()), 0) << read(folder_ / "out") << read(folder_ / "err");
    return test::json_lines(read(folder_ / "r.jsonl"));
  }

  /// With this text as its standard input.
  Output run_with_input(const std::string& arguments, const std::string& input, int ranks = 0) {
    write("in", input);
    wrapper_ = "sh -c 'exec \"$0\" \"$@\" <in'";
    const Output o = run(arguments, ranks);
    wrapper_.clear();
    return o;
  }
  /// "512 512 1667…": least and largest load and digest, as the opponents have them.
  std::string loads_of_opponents(const std::string& arguments) const {
    const std::string command = "python3 '" SWITCHYARD_TEST_DIR "/../bench/peers/loads.py' " + arguments;
    std::array<char, 256> line{};
    FILE* pipe = popen(command.c_str(), "r");
    const bool read = std::fgets(line.data(), line.size(), pipe) != nullptr;
    EXPECT_EQ(pclose(pipe), 0) << command;
    return read ? line.data() : "";
  }
};

TEST_F(BenchParts, LayerIsBesideItsProducts) {
  for (const char* load : {"balanced", "jittered", "zipf"}) {
    const Output o = run(std::string("bench layer --tokens 64 --width 16 --hidden 24 --experts 16 --top-k 4 --warmup 1 "
                                     "--repetitions 3 --json b.json --load ") +
                         load);
    ASSERT_EQ(o.code, 0) << o.err;
    const auto line = test::json_lines(o.out).at(0);
    EXPECT_EQ(line.at("flop"), 18.0 * 64 * 4 * 16 * 24);
    EXPECT_DOUBLE_EQ(line.at("share_of_products").get<double>(),
                     line.at("products_ms").get<double>() / line.at("ms").get<double>());
    EXPECT_DOUBLE_EQ(line.at("tflops").get<double>() * line.at("ms").get<double>(),
                     line.at("flop").get<double>() * 1e-9);
    for (const char* stage :
         {"router forward", "experts forward", "expert_weights backward", "dispatch_finish backward"})
      EXPECT_GT(line.at("stage_ms").at(stage).get<double>(), 0.0) << stage;
    EXPECT_EQ(std::to_string(line.at("least_load").get<int>()) + " " +
                  std::to_string(line.at("largest_load").get<int>()) + " " + line.at("choices").get<std::string>() +
                  "\n",
              loads_of_opponents(std::string(load) + " 64 16 4"));
  }
  EXPECT_EQ(test::json_lines(read(folder_ / "b.json")).size(), 3u);
}

TEST_F(BenchParts, LayerTakesEveryShape) {
  for (const char* shape : {"--tokens 33 --experts 1", "--tokens 40 --experts 128 --load zipf",
                            "--tokens 48 --grains 4 --top-k 3 --activation gelu",
                            "--tokens 7 --experts 5 --top-k 5 --width 6 --hidden 1 --activation relu --queued 1"}) {
    const Output o = run(std::string("bench layer --warmup 0 --repetitions 1 ") + shape);
    EXPECT_EQ(o.code, 0) << shape << ": " << o.err;
  }
}

TEST_F(BenchParts, WhatIsNoLayerIsSaid) {
  for (const auto& [options, message] :
       {std::pair<std::string, const char*>{"--width 8 --experts 9", "--experts is 9, more than --width 8"},
        {"--top-k 9", "moe.top_k: 9 is more than moe.experts 8"},
        {"--tokens 10 --grains 4", "--tokens is 10, no multiple of the 4 grains"},
        {"--load even", "even is not known; take one of balanced, jittered, zipf"}}) {
    const Output o = run("bench layer " + options);
    EXPECT_EQ(o.code, 2) << options;
    EXPECT_EQ(count(o.err, message), 1) << options << ": " << o.err;
  }
  const Output two = run("bench layer", 2);
  EXPECT_EQ(two.code, 2);
  EXPECT_EQ(count(two.err, "measures one rank, not 2"), 1) << two.err;
}

TEST_F(BenchParts, LayersAreServed) {
  const Output o =
      run_with_input("bench layer --tokens 64 --width 16 --hidden 24 --serve", "run 2\nproducts 3\nrun\nrun 0\n");
  ASSERT_EQ(o.code, 0) << o.err;
  const auto all = test::json_lines(o.out);
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].at("ready"), true);
  EXPECT_EQ(all[1].at("run").size(), 2u);
  EXPECT_EQ(all[2].at("products").size(), 3u);
  for (int i : {3, 4}) EXPECT_EQ(count(all[i].at("error"), "is not understood"), 1) << all[i];
}

TEST_F(BenchParts, StepsAreServed) {
  write("c.yaml",
        "model: {vocabulary: 64, width: 16, heads: 2, blocks: 2, context: 16, hidden: 32}\n"
        "moe: {experts: 4, top_k: 2, hidden: 16}\ntrain: {batch: 8, grains: 8}\n");
  for (const int ranks : {0, 2}) {
    const Output o = run_with_input("bench step c.yaml --serve moe.top_k=1", "run 3\nproducts 1\nquit\nrun 9\n", ranks);
    ASSERT_EQ(o.code, 0) << o.err;
    const auto all = test::json_lines(o.out);
    ASSERT_EQ(all.size(), 3u) << o.out;
    EXPECT_EQ(all[0].at("step_tokens"), 128);
    EXPECT_EQ(all[0].at("top_k"), 1);
    ASSERT_EQ(all[1].at("run").size(), 3u);
    for (const auto& ms : all[1].at("run")) EXPECT_GT(ms.get<double>(), 0.0);
    EXPECT_TRUE(all[2].contains("error")) << "steps have no products of their own";
  }
  EXPECT_EQ(run("bench step c.yaml --serve --json b.json").code, 2);
}

/// bench/gpu.py, with an opponent that says that each of its steps takes a tenth of a second.
TEST_F(BenchParts, ADriverAlternatesThem) {
  write("c.yaml",
        "model: {vocabulary: 64, width: 16, heads: 2, blocks: 2, context: 16, hidden: 32}\n"
        "moe: {experts: 4, hidden: 16}\ntrain: {batch: 8, grains: 8}\n");
  write(
      "peer",
      "#!/bin/sh\necho starting\n"
      "echo '{\"ready\": true, \"peer\": \"none\", \"form\": \"graph\", \"experts\": 4, \"step_tokens\": 128, "
      "\"precision\": \"fp32\"}'\n"
      "while read what n && [ $what != quit ]; do echo \"{\\\"$what\\\": [100.0$(yes ', 100.0' | head -n $((n - 1)) | "
      "tr -d '\\n')]}\"; done\n");
  fs::permissions(folder_ / "peer", fs::perms::owner_all);
  const auto all = drive("step c.yaml --python '" + (folder_ / "peer").string() + "' --steps 4 --round 0.3");
  ASSERT_EQ(all.size(), 2u);
  for (const auto& line : all) {
    EXPECT_EQ(line.at("peer_ms"), 100.0);
    EXPECT_DOUBLE_EQ(line.at("ratio").get<double>(), 100.0 / line.at("ours_ms").get<double>());
    EXPECT_GE(line.at("steps").get<int>(), 4);
    EXPECT_EQ(line.at("same_work"), true) << line;
  }
  EXPECT_EQ(all[0].at("phase"), "warm");
  EXPECT_EQ(all[1].at("phase"), "hot");
}

TEST_F(BenchParts, ADriverAsksForLayersAlone) {
  const auto all = drive("layer 64,16,16,4,2 --alone --loads balanced,zipf --steps 4 --round 0.01 --budget 60");
  ASSERT_EQ(all.size(), 5u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(all[i].at("load"), i < 2 ? "balanced" : "zipf");
    EXPECT_GE(all[i].at("steps").get<int>(), 4);
    EXPECT_DOUBLE_EQ(all[i].at("tflops").get<double>(), 18.0 * 64 * 2 * 16 * 16 / all[i].at("ms").get<double>() * 1e-9);
  }
  EXPECT_DOUBLE_EQ(all[4].at("pass").get<double>(), all[3].at("ms").get<double>() / all[1].at("ms").get<double>());
  EXPECT_NEAR(all[4].at("over_products").get<double>(),
              all[4].at("pass").get<double>() / all[4].at("products").get<double>(), 1e-9);
}

TEST_F(BenchParts, MemoryStandsBesideItsPrediction) {
  write("c.yaml",
        "model: {vocabulary: 512, width: 64, heads: 2, blocks: 3, context: 64, hidden: 128}\n"
        "moe: {experts: 4, top_k: 2, hidden: 128}\ntrain: {batch: 8, grains: 8}\n");
  for (const int ranks : {0, 2}) {
    const Output o = run("bench memory c.yaml --json " + std::to_string(ranks) + ".json", ranks);
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(count(o.out, "slabs of parameters "), 1) << o.out;
    const auto all = test::json_lines(read(folder_ / (std::to_string(ranks) + ".json")));
    ASSERT_EQ(all.size(), static_cast<std::size_t>(std::max(1, ranks)));
    for (const auto& line : all) {
      const auto says = [&](const char* account) { return line.at("predicted").at(account).get<double>(); };
      EXPECT_EQ(line.at("slabs").get<double>(), says("parameters") + says("moments") + says("gradients"));
      const double passes = says("activations") + says("expert_rows") + says("exchange") + says("scratch");
      EXPECT_GT(line.at("others").get<double>(), 0.95 * passes);
      EXPECT_LT(line.at("others").get<double>(), 1.3 * passes) << o.out;
      EXPECT_GT(line.at("in_use").get<double>(), line.at("most").get<double>());
      EXPECT_TRUE(line.at("stages").contains("data step")) << line.at("stages");
    }
  }
}

}  // namespace
}  // namespace switchyard
