// Advice names what is seldom meant: options that do nothing, ranks and lanes that are idle, routers that learn
// nothing.
#include <gtest/gtest.h>

#include <functional>
#include <tuple>
#include <utility>

#include "base_config.hpp"
#include "config/estimate.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

std::vector<std::string> keys(const Config& c, int ranks) {
  std::vector<std::string> all;
  for (const Violation& v : advice(c, ranks)) all.push_back(v.key);
  return all;
}

TEST(Advice, NamesWhatIsSeldomMeant) {
  Config c = base();
  EXPECT_EQ(keys(c, 1), (std::vector<std::string>{"moe.aux_loss"}));
  c.moe.normalise = Normalise::after;
  EXPECT_EQ(keys(c, 1), (std::vector<std::string>{"moe.normalise", "moe.aux_loss"}));
  c.moe.normalise = Normalise::before;
  c.moe.bias_rule = BiasRule::sign;
  EXPECT_EQ(keys(c, 1), std::vector<std::string>{});
  EXPECT_EQ(keys(c, 16), (std::vector<std::string>{"train.grains", "layout.expert_parallel"}));
  c.moe.experts = 1;
  c.moe.bias_rule = BiasRule::none;
  c.moe.normalise = Normalise::after;
  EXPECT_EQ(keys(c, 1), std::vector<std::string>{});
}

/// The options that the note on options without an effect names; "" where there is none.
std::string idle(const Config& c) {
  for (const Violation& v : advice(c, 1))
    if (v.message.find(", so these change no") != std::string::npos) return v.key + ": " + v.message;
  return "";
}

TEST(Advice, NamesOptionsThatAnotherOverrules) {
  Config c = base();
  c.moe.normalise = Normalise::before, c.moe.bias_rule = BiasRule::sign;
  c.train.decay_share = 0.3;
  EXPECT_EQ(keys(c, 1), std::vector<std::string>{"train.decay_share"});
  c.train.schedule = Schedule::wsd;
  EXPECT_EQ(keys(c, 1), std::vector<std::string>{});
  c.moe.experts_per_block.assign(c.model.blocks, 4);
  c.moe.experts = 7, c.moe.every = 2;
  EXPECT_EQ(idle(c),
            "moe.experts_per_block: says which blocks have experts, so these change nothing: moe.experts, moe.every");
}

/// Keys and messages of the advice on a configuration of these options.
std::string advised(const std::vector<std::string>& options, int ranks = 1) {
  const LoadResult loaded = load_text("f", "", options);
  EXPECT_TRUE(loaded.errors.empty() && validate(loaded.config, 0).empty());
  std::string text;
  for (const Violation& v : advice(loaded.config, ranks)) text += v.key + ": " + v.message + "\n";
  return text;
}

// Each option that another one makes idle: remarked where that is off, and not where it is on, nor at its default.
TEST(Advice, EveryIdleOptionIsNamedWithWhy) {
  const std::vector<std::string> quiet{"moe.normalise=before", "moe.importance_loss=0.1"};
  EXPECT_EQ(advised(quiet), "");
  for (const auto& [option, on, why] :
       {std::tuple("train.decay_share=0.3", "train.schedule=wsd", "train.schedule is not wsd"),
        std::tuple("moe.group_score=max", "moe.groups=2", "moe.groups is 1"),
        std::tuple("moe.aux_scope=grain", "moe.aux_loss=0.1", "moe.aux_loss is 0"),
        std::tuple("moe.bias_rate=0.1", "moe.bias_rule=sign", "moe.bias_rule is none"),
        std::tuple("moe.drop_order=position", "moe.capacity_factor=1.5", "moe.capacity_factor is 0")}) {
    const std::string key = std::string(option).substr(0, std::string(option).find('='));
    EXPECT_EQ(advised({quiet[0], quiet[1], option}), key + ": changes nothing, since " + why + "\n");
    EXPECT_EQ(advised({quiet[0], quiet[1], option, on}), "") << option;
    EXPECT_EQ(advised({quiet[0], quiet[1], on}), "") << on;
  }
  EXPECT_EQ(advised({quiet[0], "moe.aux_loss=0.1", "moe.importance_form=squared_deviation"}),
            "moe.importance_form: changes nothing, since moe.importance_loss is 0\n");
}

TEST(Advice, WhatARouterDoesNotLearnIsRemarked) {
  const auto normalise = [](const std::string& use) {
    return "moe.normalise: after with moe.top_k 1 makes every combine weight the same: the language-model loss teaches "
           "the router nothing; use " +
           use + "\n";
  };
  const std::string balanced = "moe.importance_loss=0.1";
  EXPECT_EQ(advised({balanced}), "") << "auto weighs one choice so that it is learned";
  EXPECT_EQ(advised({balanced, "moe.normalise=after"}), normalise("before"));
  EXPECT_EQ(advised({balanced, "moe.normalise=after", "moe.router=sigmoid"}), normalise("none"));
  for (const char* form : {"auto", "none"})
    EXPECT_TRUE(advised({balanced, "moe.router=sigmoid", std::string("moe.normalise=") + form})
                    .starts_with("moe.normalise: raw sigmoid weights can shrink"))
        << form;
  EXPECT_EQ(advised({balanced, "moe.router=noisy_topk"}), normalise("two experts a token or more")) << "no other form";
  EXPECT_EQ(advised({balanced, "moe.top_k=2"}), "");
  EXPECT_EQ(advised({"moe.top_k=2", "moe.bias_rule=quantile", "moe.bias_rate=0.5", "moe.bias_range=0.01"}),
            "moe.bias_rate: changes nothing, since moe.bias_rule quantile has no rate\n");
  const std::string softmax = advised({"moe.top_k=2", "moe.bias_rule=quantile", "moe.experts=64"});
  EXPECT_TRUE(softmax.starts_with("moe.bias_range: 1 makes bins of 0.002, which hardly tell softmax scores of 64 "))
      << softmax;
  EXPECT_EQ(advised({"moe.experts=0", "train.router_rate=0.5"}),
            "train.router_rate: changes nothing, since no block has a router\n");
  EXPECT_EQ(advised({"moe.router=hash"}), "") << "it learns nothing";
  EXPECT_EQ(advised({"moe.router=hash", "train.router_rate=0.5"}),
            "train.router_rate: changes nothing, since moe.router is hash, which learns nothing\n");
  EXPECT_TRUE(advised({"moe.top_k=2"}).starts_with("moe.aux_loss: nothing keeps the experts' loads even; "));
  EXPECT_EQ(advised({"moe.top_k=2", "moe.bias_rule=sign"}), "");
}

TEST(Advice, IdleRanksAreRemarked) {
  const std::vector<std::string> quiet{"moe.router=hash", "moe.experts_per_block=[0, 3, 9, 0]"};
  EXPECT_EQ(advised(quiet, 3), "");
  EXPECT_EQ(advised(quiet, 4), "layout.expert_parallel: 4 ranks share 3 experts: some ranks hold none\n");
  EXPECT_EQ(advised({quiet[0], quiet[1], "layout.expert_parallel=2"}, 4), "");
  EXPECT_EQ(advised({quiet[0], quiet[1], "moe.hidden_chunks=2", "layout.expert_tensor_parallel=2"}, 4), "");
  EXPECT_EQ(advised({quiet[0], "moe.experts=64"}, 8), "");
  EXPECT_EQ(advised({quiet[0], "moe.experts=64"}, 9),
            "train.grains: 9 ranks share 8 grains: some ranks have no tokens; more grains would use them\n");
}

TEST(Advice, APlacementThatSavesNothingIsRemarked) {
  const std::string quiet = "moe.router=hash", placed = "layout.placement=p.yaml", by_nodes = "layout.exchange=node";
  EXPECT_EQ(advised({quiet, placed, by_nodes, "layout.ranks_per_node=1"}, 4), "");
  EXPECT_EQ(advised({quiet, placed, "layout.exchange=gather", "layout.ranks_per_node=2"}, 4), "");
  EXPECT_EQ(
      advised({quiet, placed, "layout.exchange=gather"}, 4),
      "layout.ranks_per_node: 0 with layout.exchange gather: memory is that of one node; set it to the ranks that a "
      "node will have to see that of more\n");
  EXPECT_EQ(advised({quiet, placed}, 4),
            "layout.placement: with layout.exchange pairwise: a row goes for each choice, wherever experts live; node "
            "sends one for each node\n");
  EXPECT_EQ(advised({quiet, placed, by_nodes}, 1),
            "layout.placement: changes nothing, since every rank holds all experts (layout.expert_parallel)\n");
}

TEST(Advice, GroupsOfExpertsOnSeveralNodesAreRemarked) {
  const std::vector<std::string> base{"moe.normalise=before", "moe.aux_loss=0.1",        "moe.experts=8", "moe.top_k=2",
                                      "layout.exchange=node", "layout.ranks_per_node=1", "moe.groups=4"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> options = base;
    options.insert(options.end(), more.begin(), more.end());
    return options;
  };
  EXPECT_EQ(advised(with({"moe.groups_kept=1"}), 4), "");
  EXPECT_EQ(advised(with({"moe.groups_kept=4"}), 8), "") << "no limit";
  EXPECT_EQ(advised(with({"moe.groups_kept=1"}), 8),
            "moe.groups_kept: limits no nodes of a token: a group of experts of block 0 lies on 2 of 8 nodes; make "
            "whole groups share one, as a multiple of them does in order\n");
}

// By the definition: contiguous groups over contiguous ranks.
TEST(Advice, SaysHowManyNodesATokenReaches) {
  const auto reach = [](std::vector<std::string> options, int ranks) {
    for (const char* o : {"moe.experts=16", "moe.top_k=4", "layout.exchange=node", "layout.ranks_per_node=2"})
      options.emplace_back(o);
    const LoadResult loaded = load_text("f", "", options);
    const std::string text = describe(loaded.config, std::vector<RankBytes>(static_cast<std::size_t>(ranks)));
    const auto at = text.find("reach of a token");
    return at == std::string::npos ? "" : text.substr(at + 24, text.find('\n', at) - at - 24);
  };
  EXPECT_EQ(reach({"moe.groups=4", "moe.groups_kept=2"}, 8), "at most 2 of 4 nodes, by 2 of 4 groups of experts");
  EXPECT_EQ(reach({"moe.groups=8", "moe.groups_kept=3"}, 8), "at most 3 of 4 nodes, by 3 of 8 groups of experts");
  EXPECT_EQ(reach({"moe.groups=2", "moe.groups_kept=1"}, 8), "at most 2 of 4 nodes, by 1 of 2 groups of experts");
  EXPECT_EQ(reach({"moe.groups=4", "moe.groups_kept=4"}, 8), "");
  EXPECT_EQ(reach({"moe.groups=4", "moe.groups_kept=2"}, 2), "") << "one node";
}

TEST(Advice, ChunksThatAreMostlyFillingAreRemarked) {
  EXPECT_EQ(advised({"moe.router=hash", "moe.hidden=512", "moe.hidden_chunks=4"}), "");
  EXPECT_EQ(advised({"moe.router=hash", "moe.hidden=64", "moe.hidden_chunks=16"}),
            "moe.hidden_chunks: a chunk of an expert's matrix has 512 elements and takes the memory of 4096; use fewer "
            "chunks\n");
}

TEST(Advice, LanesThatDoNothingAreRemarked) {
  const std::string quiet = "moe.router=hash";
  EXPECT_EQ(advised({quiet, "layout.lanes=4", "layout.schedule=interleaved"}, 2), "");
  EXPECT_EQ(
      advised({quiet, "layout.lanes=4"}, 4),
      "layout.lanes: 4 lanes share the 2 grain(s) of a rank: some lanes have no tokens; use fewer, or more grains\n");
  EXPECT_EQ(
      advised({quiet, "layout.schedule=pipelined"}, 2),
      "layout.lanes: 1 with layout.schedule pipelined: while rows travel there is no other lane to work on; use 2 "
      "or more\n");
  const std::string waves = "layout.waves=2", lanes = "layout.lanes=2";
  EXPECT_EQ(advised({quiet, waves, lanes, "layout.schedule=pipelined"}, 2), "");
  EXPECT_EQ(advised({quiet, waves, lanes}, 2),
            "layout.waves: 2 with layout.schedule serial: nothing is done on one wave while rows of another travel; "
            "use 1\n");
  const std::string beside = "layout.schedule=interleaved";
  EXPECT_NE(
      advised({quiet, waves, lanes, beside, "layout.exchange=alltoallv"}, 2).find("2 with layout.exchange alltoallv"),
      std::string::npos);
  EXPECT_NE(advised({quiet, waves, lanes, beside, "layout.expert_parallel=1"}, 2).find("2 with no rows that travel"),
            std::string::npos);
}

TEST(Advice, NamesOptionsThatDoNothingWithoutExperts) {
  Config c = base();
  c.moe = {};
  c.moe.bias_rule = BiasRule::sign, c.moe.aux_loss = 0.1, c.moe.capacity_factor = 1.5, c.moe.top_k = 7;
  c.moe.router = RouterKind::hash, c.moe.groups = 3;
  EXPECT_EQ(idle(c), "");
  c.moe.experts = 0;
  EXPECT_EQ(idle(c),
            "moe.experts: no block has experts, so these change nothing: moe.top_k, moe.router, moe.groups, "
            "moe.aux_loss, moe.bias_rule, moe.capacity_factor");
  c.moe = {};
  c.moe.experts_per_block = {0, 0, 0, 0};
  EXPECT_EQ(idle(c), "");
  const std::string one = "moe.experts_per_block: layers have one expert, so these change no weight: ";
  c.moe.experts_per_block = {0, 1, 0, 1};
  c.moe.bias_rule = BiasRule::sign, c.moe.aux_loss = 0.1, c.moe.capacity_factor = 1.5, c.moe.scale = 2.0;
  EXPECT_EQ(idle(c), one + "moe.aux_loss, moe.bias_rule, moe.capacity_factor");
  c.moe.capacity_factor = 0.5;
  EXPECT_EQ(idle(c), one + "moe.aux_loss, moe.bias_rule");
}

}  // namespace
}  // namespace switchyard
