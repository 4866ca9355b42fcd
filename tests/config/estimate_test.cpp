// The estimate's parameters are those of the architecture list; advice names what is seldom meant.
#include "config/estimate.hpp"

#include <gtest/gtest.h>

#include <functional>

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
