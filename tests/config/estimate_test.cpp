// The estimate's parameters are those of the architecture list.
#include "config/estimate.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <tuple>
#include <utility>

#include "base_config.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

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
                "  sums, records         8.0 MiB\n  fixed base, measured  1.5 MiB\n"),
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

}  // namespace
}  // namespace switchyard
