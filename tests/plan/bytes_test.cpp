// links: bench
// Bytes that are predicted are those that the program counts, to the last one, where routing is even: where every token
// chooses all experts, or all those of the groups that it keeps, one of which is on each node.
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/placement_file.hpp"
#include "plan/machine.hpp"
#include "plan/prediction.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

constexpr const char* model =
    "model: {vocabulary: 64, width: 16, blocks: 2, heads: 2, context: 16, hidden: 32}\n"
    "moe: {experts: 8, top_k: 8, hidden: 32, router: hash, normalise: none, combine_groups: 2, hidden_chunks: 4}\n"
    "train: {batch: 16, grains: 8}\n";

/// What moves on the two ways: of all ranks, and of these between nodes.
struct Moved {
  double all, across;
};

class Bytes : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    write("c.yaml", model);
    for (const int block : {0, 1}) {  // of eight seats the first four are those of a node, or the first two of four
      near_ += std::to_string(block) + ": [2, 0, 1, 3, 7, 4, 6, 5]\n";
      far_ += std::to_string(block) + ": [0, 2, 4, 6, 1, 3, 5, 7]\n";
    }
    write("near.yaml", near_), write("far.yaml", far_);
  }
  /// Every one of `layouts`, which add words to `common`; all bytes within a share of them.
  void expect_equal(int ranks, int per_node, const std::string& common, const std::vector<std::string>& layouts,
                    double inside = 0.0) {
    std::string command = "bench step c.yaml --warmup 0 --repetitions 1 --json s.jsonl " + common;
    for (const std::string& layout : layouts) command += " --with '" + layout + "'";
    fs::remove(folder_ / "s.jsonl");
    const Output steps = run(command + " layout.ranks_per_node=" + std::to_string(per_node), ranks);
    ASSERT_EQ(steps.code, 0) << steps.err;
    std::istringstream text(read(folder_ / "s.jsonl"));
    std::string line;
    std::getline(text, line);  // of the configuration without more words
    for (const std::string& layout : layouts) {
      ASSERT_TRUE(std::getline(text, line));
      const nlohmann::json counted = nlohmann::json::parse(line);
      const Moved predicted = predict(ranks, per_node, common + " " + layout);
      const auto told = testing::Message()
                        << ranks << " ranks, " << per_node << " a node, " << common << ": " << layout;
      const double all = counted["row_bytes"].get<double>();
      EXPECT_NEAR(predicted.all, all, inside * all + 1e-6) << told;
      EXPECT_NEAR(predicted.across, counted["row_bytes_across"].get<double>(), 1e-6) << told;
      EXPECT_GT(predicted.all, 0.0) << told;
    }
  }

 private:
  Moved predict(int ranks, int per_node, const std::string& words) const {
    std::vector<std::string> overrides;
    std::istringstream stream(words);
    for (std::string word; stream >> word;) overrides.push_back(word);
    LoadResult loaded = load_text("c.yaml", model, overrides);
    const std::string& placement = loaded.config.layout.placement;
    if (placement == "near.yaml") take_placement(loaded, near_);
    if (placement == "far.yaml") take_placement(loaded, far_);
    EXPECT_TRUE(loaded.errors.empty());
    const plan::Prediction p = plan::predict(loaded.config, {ranks, ranks / per_node, plan::round_machine()});
    return {p.rows.all, p.rows.across};
  }
  std::string near_, far_;
};

const std::vector<std::string> layouts{"layout.exchange=pairwise",
                                       "layout.exchange=node",
                                       "layout.exchange=gather",
                                       "layout.exchange=pairwise layout.expert_tensor_parallel=2",
                                       "layout.exchange=node layout.expert_tensor_parallel=2",
                                       "layout.exchange=alltoallv layout.expert_tensor_parallel=4",
                                       "layout.exchange=node layout.expert_tensor_parallel=2 layout.lanes=2 "
                                       "layout.schedule=interleaved",
                                       "layout.exchange=node layout.placement=near.yaml",
                                       "layout.exchange=node layout.placement=far.yaml",
                                       "layout.exchange=gather layout.placement=far.yaml",
                                       "layout.exchange=node layout.placement=far.yaml layout.expert_tensor_parallel=2",
                                       "layout.exchange=pairwise layout.placement=far.yaml"};

TEST_F(Bytes, AreThoseThatFourRanksSend) {
  expect_equal(4, 2, "", layouts);
  expect_equal(4, 1, "",
               {"layout.exchange=pairwise layout.expert_tensor_parallel=4", "layout.exchange=node",
                "layout.exchange=node moe.combine_groups=1", "layout.exchange=node layout.placement=far.yaml"});
}

TEST_F(Bytes, AreThoseThatEightRanksSend) {
  expect_equal(8, 4, "", layouts);
  std::vector<std::string> two_groups;
  for (const std::string& layout : layouts) two_groups.push_back(layout + " layout.expert_parallel=4");
  expect_equal(8, 2, "", two_groups);
}

// Teams have unequal numbers of experts.
TEST_F(Bytes, OfExpertsThatDoNotDivide) {
  expect_equal(8, 4, "moe.experts=10 moe.top_k=10 layout.expert_parallel=0",
               {"layout.exchange=pairwise layout.expert_tensor_parallel=2", "layout.exchange=gather",
                "layout.exchange=node layout.expert_tensor_parallel=2", "layout.exchange=node"});
}

// A token keeps two groups of two experts and chooses all four. Contiguous, groups are whole on a node; so placed, each
// has one expert on either, and every token crosses; where it then goes inside the node is the router's.
TEST_F(Bytes, OfGroupsThatAPlacementBreaksUp) {
  const std::string limited = "moe.router=softmax moe.top_k=4 moe.groups=4 moe.groups_kept=2 moe.normalise=before ";
  for (const int ranks : {4, 8})
    expect_equal(ranks, ranks / 2, limited + "layout.placement=far.yaml",
                 {"layout.exchange=node", "layout.exchange=node layout.expert_tensor_parallel=2"}, 0.01);
}

}  // namespace
}  // namespace switchyard
