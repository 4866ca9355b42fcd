// The estimate's parameters are those of the architecture list; advice names what is seldom meant.
#include "config/estimate.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <tuple>
#include <utility>

#include "config/yaml.hpp"

namespace switchyard {
namespace {

Config base() {
  Config c;
  c.model.vocabulary = 96;
  c.model.width = 16;
  c.model.heads = 4;
  c.model.context = 8;
  c.model.hidden = 24;
  c.moe.hidden = 40;
  return c;
}

const std::vector<std::function<void(Config&)>> changes{
    [](Config&) {},
    [](Config& c) { c.model.tied = false, c.model.kv_heads = 2; },
    [](Config& c) { c.model.activation = Activation::swiglu, c.moe.shared_experts = 2, c.moe.top_k = 2; },
    [](Config& c) { c.moe.experts = 0; },
    [](Config& c) { c.moe.experts = 1; },
    [](Config& c) { c.moe.experts = 257, c.moe.every = 2, c.moe.first_dense = 2; },
    [](Config& c) {
      c.moe.experts_per_block = {0, 3, 5, 8};
    },
    [](Config& c) { c.moe.router = RouterKind::noisy_topk; },
    [](Config& c) { c.moe.router = RouterKind::hash; },
    [](Config& c) { c.layout.expert_parallel = 1; },
};

TEST(Estimate, ParametersAreThoseOfTheList) {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Config config = base();
    changes[i](config);
    std::int64_t replicated = 0, experts = 0;
    for (const TensorSpec& t : architecture(config))
      if (t.adds_to.empty()) (t.placement == Placement::expert ? experts : replicated) += t.elements();
    EXPECT_EQ(model_size(config).replicated, replicated) << i;
    EXPECT_EQ(model_size(config).experts, experts) << i;
  }
}

TEST(Estimate, ActiveParametersAndWork) {
  Config c = base();
  const ModelSize size = model_size(c);
  const std::int64_t network = 2 * 16 * 40;
  EXPECT_EQ(size.experts, 4 * 8 * network);
  EXPECT_EQ(size.total() - size.active, 4 * 7 * network);
  c.moe.top_k = 2;
  EXPECT_EQ(model_size(c).active - size.active, 4 * network);
  // Dense, one block, by hand: 3·(2·(V·d + 4·d² + 2·d·h) + 2·T·d).
  c.moe.experts = 0;
  c.model.blocks = 1;
  EXPECT_EQ(flop_per_token(c), 3.0 * (2.0 * (96 * 16 + 4 * 16 * 16 + 2 * 16 * 24) + 2.0 * 8 * 16));
}

// Sizes of published checkpoints with this architecture: the byte counts of their files on Hugging Face
// (model.safetensors.index.json, total_size) by two bytes a parameter. Active: the parameters less the experts not
// chosen.
TEST(Estimate, PublishedModelsHaveTheirPublishedSizes) {
  const struct {
    const char* name;
    int vocabulary, width, blocks, heads, kv_heads, hidden, experts;
    std::int64_t total, active;
  } rows[] = {
      {"Llama 2 7B", 32000, 4096, 32, 32, 32, 11008, 0, 6738415616, 6738415616},
      {"Llama 2 13B", 32000, 5120, 40, 40, 40, 13824, 0, 13015864320, 13015864320},
      {"Llama 2 70B", 32000, 8192, 80, 64, 8, 28672, 0, 68976648192, 68976648192},
      {"Llama 3 8B", 128256, 4096, 32, 32, 8, 14336, 0, 8030261248, 8030261248},
      {"TinyLlama 1.1B", 32000, 2048, 22, 32, 4, 5632, 0, 1100048384, 1100048384},
      {"Mixtral 8x7B", 32000, 4096, 32, 32, 8, 14336, 8, 46702792704, 12879925248},
      {"Mixtral 8x22B", 32000, 6144, 56, 48, 8, 16384, 8, 140620634112, 39152031744},
  };
  for (const auto& row : rows) {
    Config c;
    c.model = {.vocabulary = row.vocabulary, .width = row.width, .blocks = row.blocks, .heads = row.heads};
    c.model.kv_heads = row.kv_heads, c.model.hidden = c.moe.hidden = row.hidden;
    c.model.activation = Activation::swiglu, c.model.tied = false;
    c.moe.experts = row.experts, c.moe.top_k = 2, c.moe.normalise = Normalise::before;
    EXPECT_EQ(model_size(c).total(), row.total) << row.name;
    EXPECT_EQ(model_size(c).active, row.active) << row.name;
    EXPECT_TRUE(validate(c, 0).empty()) << row.name;
  }
}

// The weights of the blocks are the same for every number of experts, and with one expert all of them are dense.
TEST(Estimate, DenseParametersDoNotDependOnTheExperts) {
  Config c = base();
  c.model.hidden = c.moe.hidden;
  for (const int experts : {0, 1, 2, 64, 32767}) {
    c.moe.experts = experts;
    EXPECT_EQ(dense_parameters(c), 4 * (4 * 16 * 16 + 2 * 16 * 40)) << experts;
  }
  c.moe.top_k = 2, c.moe.shared_experts = 3;
  EXPECT_EQ(dense_parameters(c), 4 * (4 * 16 * 16 + (2 + 3) * 2 * 16 * 40));
}

TEST(Describe, CountsHaveThreeDigits) {
  Config c = base();
  c.train.batch = c.train.grains = c.model.context = 1;
  for (const auto& [steps, text] :
       {std::pair(1, "1 in 1 steps"), std::pair(999, "999 in"), std::pair(1000, "1.00 k in"),
        std::pair(9994, "9.99 k in"), std::pair(9995, "10.0 k in"), std::pair(99949, "99.9 k in"),
        std::pair(99950, "100 k in"), std::pair(999499, "999 k in"), std::pair(999500, "1.00 M in"),
        std::pair(2000000000, "2.00 G in")}) {
    c.train.steps = steps;
    EXPECT_NE(describe(c, {RankBytes{}}).find(std::string("tokens                  ") + text), std::string::npos)
        << text << " of\n"
        << describe(c, {RankBytes{}});
  }
  c.train.steps = std::int64_t{1} << 62;
  EXPECT_NE(describe(c, {RankBytes{}}).find(" 4.61 E in 4611686018427387904 steps of 1 (1 sequences of 1)"),
            std::string::npos);
}

TEST(Describe, NumbersHaveCommasAndKindsTheirBytes) {
  Config c = base();
  c.model.vocabulary = 1 << 24, c.model.width = 1000, c.moe.experts = 0;
  const std::string text = describe(c, {RankBytes{.parameters = 1 << 20,
                                                  .moments = 2 << 20,
                                                  .gradients = 3 << 20,
                                                  .activations = 4 << 20,
                                                  .expert_rows = 5 << 20,
                                                  .exchange = 6 << 20,
                                                  .scratch = 7 << 20,
                                                  .transient = 8 << 20,
                                                  .base = 1536 << 10}});
  EXPECT_NE(text.find("16,793,417,000 in all, 16,793,417,000 active for a token\n"), std::string::npos) << text;
  EXPECT_NE(text.find("experts                 none, all blocks are dense\n"), std::string::npos) << text;
  EXPECT_NE(
      text.find("bytes per rank          37.5 MiB at even loads\n  parameters            1.0 MiB\n"
                "  moments               2.0 MiB\n  gradients             3.0 MiB\n  activations           4.0 MiB\n"
                "  expert rows           5.0 MiB\n  exchange              6.0 MiB\n  scratch               7.0 MiB\n"
                "  sums, or records      8.0 MiB\n  fixed base, measured  1.5 MiB\n"),
      std::string::npos)
      << text;
}

// V·d + 4·(4·d² + 2·d·h + 2·d) + d parameters: of 3 to 12 digits, with h = 24.
TEST(Describe, CommasStandBeforeEveryThirdDigit) {
  Config c = base();
  c.model.heads = 1, c.moe.experts = 0;
  for (const auto& [vocabulary, width, text] :
       {std::tuple(1 << 24, 10, "167,775,770 in all, 167,775,770 active"),
        std::tuple(1 << 24, 100, "1,677,901,700 in all, 1,677,901,700 active"),
        std::tuple(1 << 24, 1000, "16,793,417,000 in all, 16,793,417,000 active"),
        std::tuple(1 << 24, 10000, "169,374,170,000 in all, 169,374,170,000 active"), std::tuple(1, 1, "218 in all, "),
        std::tuple(1000, 1, "1,217 in all, ")}) {
    c.model.vocabulary = vocabulary, c.model.width = width;
    const std::string told = describe(c, {RankBytes{}});
    EXPECT_TRUE(told.starts_with("parameters              " + std::string(text))) << told;
  }
}

TEST(Describe, SaysWhatTheRunWouldBe) {
  Config c = base();
  c.moe.experts = 3;
  c.train.grains = 4;
  std::vector<RankBytes> bytes(3);
  bytes[1].scratch = 5 << 20;
  const std::string text = describe(c, bytes);
  for (const char* part :
       {"in all", "active for a token", "steps of 128", "1 to 2 a rank", "3 in 4 of 4 blocks, 1 a rank",
        "bytes per rank", "5.0 MiB at even loads, the most, on rank 1", "fixed base"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

std::vector<std::string> keys(const Config& c, int ranks) {
  std::vector<std::string> all;
  for (const Violation& v : advice(c, ranks)) all.push_back(v.key);
  return all;
}

TEST(Advice, NamesWhatIsSeldomMeant) {
  Config c = base();
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
  EXPECT_EQ(advised({balanced}), normalise("before"));
  EXPECT_EQ(advised({balanced, "moe.router=sigmoid"}), normalise("none"));
  EXPECT_EQ(advised({balanced, "moe.router=noisy_topk"}), normalise("two experts a token or more")) << "no other form";
  EXPECT_EQ(advised({balanced, "moe.top_k=2"}), "");
  EXPECT_EQ(advised({"moe.router=hash"}), "") << "it learns nothing";
  EXPECT_TRUE(advised({"moe.top_k=2"}).starts_with("moe.aux_loss: nothing keeps the experts' loads even; "));
  EXPECT_EQ(advised({"moe.top_k=2", "moe.bias_rule=sign"}), "");
}

TEST(Advice, IdleRanksAreRemarked) {
  const std::vector<std::string> quiet{"moe.router=hash", "moe.experts_per_block=[0, 3, 9, 0]"};
  EXPECT_EQ(advised(quiet, 3), "");
  EXPECT_EQ(advised(quiet, 4), "layout.expert_parallel: 4 ranks share 3 experts: some ranks hold none\n");
  EXPECT_EQ(advised({quiet[0], quiet[1], "layout.expert_parallel=2"}, 4), "");
  EXPECT_EQ(advised({quiet[0], "moe.experts=64"}, 8), "");
  EXPECT_EQ(advised({quiet[0], "moe.experts=64"}, 9),
            "train.grains: 9 ranks share 8 grains: some ranks have no tokens; more grains would use them\n");
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
