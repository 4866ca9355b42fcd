// Which blocks are made again, what is refused, and what is remarked because it does nothing.
#include "config/recomputation.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "config/estimate.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

/// Four blocks, the second and the last are mixtures.
Config uneven() {
  Config c;
  c.moe.experts_per_block = {0, 2, 0, 2}, c.moe.router = RouterKind::hash;
  return c;
}

TEST(Recomputed, SaysWhatOfEachBlock) {
  constexpr Recompute none = Recompute::none, experts = Recompute::experts, blocks = Recompute::blocks;
  const auto of = [](Recompute kind, const std::vector<int>& chosen) {
    Config c = uneven();
    c.layout.recompute = kind, c.layout.recompute_blocks = chosen;
    std::vector<Recompute> all;
    for (int b = 0; b < c.model.blocks; ++b) {
      all.push_back(recomputed(c, b));
      EXPECT_EQ(whole_block_recomputed(c, b), all.back() == Recompute::blocks);
    }
    return all;
  };
  EXPECT_EQ(of(none, {}), (std::vector<Recompute>{none, none, none, none}));
  EXPECT_EQ(of(experts, {}), (std::vector<Recompute>{none, experts, none, experts}));
  EXPECT_EQ(of(experts, {0, 3}), (std::vector<Recompute>{none, none, none, experts}));
  EXPECT_EQ(of(blocks, {}), (std::vector<Recompute>{blocks, blocks, blocks, blocks}));
  EXPECT_EQ(of(blocks, {0, 3}), (std::vector<Recompute>{blocks, none, none, blocks}));
}

/// Messages about layout.recompute_blocks.
std::vector<std::string> refused(Recompute kind, const std::vector<int>& chosen) {
  Config c = uneven();
  c.layout.recompute = kind, c.layout.recompute_blocks = chosen;
  std::vector<std::string> messages;
  for (const Violation& v : validate(c, 1)) {
    EXPECT_EQ(v.key, "layout.recompute_blocks");
    messages.push_back(v.message);
  }
  return messages;
}

TEST(RecomputeBlocks, AreOnesThatThereAreOnceInOrder) {
  const std::vector<std::string> good;
  const std::string past = ", but blocks are 0 to 3 (model.blocks counts them); leave it out",
                    order = "; must name each block once, in ascending order";
  for (const Recompute kind : {Recompute::experts, Recompute::blocks}) {
    for (const std::vector<int>& chosen : {std::vector<int>{}, {0}, {3}, {1, 2}, {0, 1, 2, 3}})
      EXPECT_EQ(refused(kind, chosen), good);
    EXPECT_EQ(refused(kind, {1, 4}), std::vector<std::string>{"has 4" + past});
    EXPECT_EQ(refused(kind, {-1, 0}), std::vector<std::string>{"has -1" + past});
    EXPECT_EQ(refused(kind, {2, 2}), std::vector<std::string>{"is [2, 2]" + order});
    EXPECT_EQ(refused(kind, {0, 2, 1}), std::vector<std::string>{"is [0, 2, 1]" + order});
  }
  EXPECT_EQ(refused(Recompute::none, {}), good);
  EXPECT_EQ(refused(Recompute::none, {1}),
            std::vector<std::string>{"names blocks with layout.recompute none (nothing is made again); set "
                                     "layout.recompute to experts or blocks, or leave the list empty"});
}

/// Keys and messages of the advice on a configuration of these options.
std::string advised(const std::vector<std::string>& options) {
  const LoadResult loaded = load_text("f", "", options);
  EXPECT_TRUE(loaded.errors.empty() && validate(loaded.config, 0).empty());
  std::string text;
  for (const Violation& v : advice(loaded.config, 1)) text += v.key + ": " + v.message + "\n";
  return text;
}

TEST(RecomputeBlocks, ThatAreDenseAreRemarkedWhereOnlyExpertsAreMadeAgain) {
  const std::string hash = "moe.router=hash", uneven = "moe.experts_per_block=[0, 2, 0, 2]",
                    experts = "layout.recompute=experts", named = "layout.recompute_blocks=";
  EXPECT_EQ(advised({hash, uneven, experts}), "");
  EXPECT_EQ(advised({hash, uneven, experts, named + "[1]"}), "");
  EXPECT_EQ(advised({hash, uneven, "layout.recompute=blocks", named + "[0, 2]"}), "");
  EXPECT_EQ(advised({hash, uneven, experts, named + "[0, 1, 2]"}),
            "layout.recompute_blocks: names blocks without experts, of which layout.recompute experts makes nothing "
            "again: 0, 2\n");
  EXPECT_EQ(advised({hash, uneven, experts, named + "[0]"}),
            "layout.recompute_blocks: changes nothing, since none of its blocks has experts\n");
  EXPECT_EQ(advised({"moe.experts=0", experts}),
            "layout.recompute: changes nothing, since none of its blocks has experts\n");
}

}  // namespace
}  // namespace switchyard
