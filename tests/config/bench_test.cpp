// links: train
// What `switchyard bench` prints and appends: figures that agree with each other.
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/estimate.hpp"
#include "config/yaml.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

class Benchmarks : public Program {};

TEST_F(Benchmarks, AStepAppendsALineOfNumbersThatAgree) {
  write("c.yaml",
        "model: {vocabulary: 64, width: 16, heads: 2, blocks: 2, context: 16, hidden: 32}\n"
        "moe: {experts: 4, hidden: 16}\ntrain: {batch: 4, grains: 4, evaluate_every: 0}\n");
  EXPECT_EQ(count(run("bench step c.yaml model.vocabulary=0").err, "model.vocabulary: is 0 (a benchmark has no corpus"),
            1);
  write("b.json", "{\"mine\": 1}\n");
  for (const int ranks : {0, 2}) {
    const Output o = run("bench step c.yaml --warmup 1 --repetitions 3 --json b.json", ranks);
    EXPECT_EQ(o.code, 0) << o.err;
  }
  std::istringstream lines(read(folder_ / "b.json"));
  std::vector<nlohmann::json> all;
  for (std::string line; std::getline(lines, line);) all.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].at("mine"), 1) << "what stood there stays";
  const double flop = flop_per_token(load((folder_ / "c.yaml").string()).config);
  for (int i = 1; i < 3; ++i) {
    const auto value = [&](const char* name) { return all[i].at(name).get<double>(); };
    EXPECT_EQ(value("ranks"), i);
    EXPECT_EQ(value("warmup"), 1);
    EXPECT_EQ(value("repetitions"), 3);
    EXPECT_EQ(value("step_tokens"), 64);
    EXPECT_NEAR(value("tokens_per_s"), 64.0 / value("step_ms") * 1e3, 1e-6 * value("tokens_per_s"));
    EXPECT_NEAR(value("gflops"), flop * value("tokens_per_s") / 1e9, 1e-6 * value("gflops"));
    EXPECT_LE(value("tokens_per_s_least"), value("tokens_per_s"));
    EXPECT_GE(value("tokens_per_s_most"), value("tokens_per_s"));
    EXPECT_EQ(all[i].at("phase_ms").size(), 16u);
  }
}

TEST_F(Benchmarks, ExchangesAreMeasuredBesideMpisOwn) {
  EXPECT_EQ(count(run("bench exchange").err, "runs on one rank (nothing is sent)"), 1);
  EXPECT_EQ(count(run("bench exchange --bytes 1025", 2).err, "--bytes: 1025 is not a multiple of 1024"), 1);
  EXPECT_EQ(count(run("bench exchange --transport ipc", 2).err, "ipc is not known; take one of auto, mpi, window"), 1);
  const Output o = run("bench exchange --bytes 1024,524288 --repetitions 3 --json e.json", 3);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.out, "3 ranks on 1 nodes, all to all"), 1) << o.out;
  const auto json = nlohmann::json::parse(read(folder_ / "e.json"));
  std::vector<std::string> ways;
  for (const auto& result : json.at("results")) {
    ways.push_back(std::to_string(result.at("bytes").get<int>()) + " " + result.at("way").get<std::string>());
    const double us = result.at("us"), bytes = result.at("bytes");
    EXPECT_NEAR(result.at("gb_per_s"), 2 * bytes / us / 1e3, 1e-9) << ways.back();
    if (ways.back().ends_with("alltoallv")) {
      EXPECT_EQ(result.at("ratio_to_alltoallv"), 1.0);
    }
  }
  std::vector<std::string> expected;
  for (const std::string bytes : {"1024", "524288"})
    for (const std::string way : {"alltoallv", "pairwise auto", "pairwise mpi", "pairwise window", "broadcast"})
      expected.push_back(bytes + " " + way);
  EXPECT_EQ(ways, expected);
}

}  // namespace
}  // namespace switchyard
