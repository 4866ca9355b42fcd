// Every rule between options is broken at least once, by the smallest change to a good configuration.
#include <gtest/gtest.h>

#include <functional>

#include "config/estimate.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

struct Case {
  const char* name;
  std::function<void(Config&)> change;
  const char* key;
  const char* message;  ///< a part of it
  int ranks = 0;
};

// clang-format off
const std::vector<Case> cases{
    {"vocabulary", [](Config& c) { c.model.vocabulary = -1; }, "model.vocabulary", "at least 0"},
    {"rows wrap", [](Config& c) { c.train.batch = c.model.context = 1 << 30; c.train.evaluate_every = 0; c.moe.experts = c.moe.top_k = 16; },
     "train.batch", "more than 9223372036854775807 rows"},
    {"tokens wrap", [](Config& c) { c.train.steps = std::int64_t{1} << 62; }, "train.steps", "more than 2^62"},
    {"blocks limit", [](Config& c) { c.model.blocks = 2147483647; }, "model.blocks", "at most 1024"},
    {"parameters wrap", [](Config& c) { c.model.width = 1 << 20; c.model.hidden = c.moe.hidden = 1 << 24; },
     "model.width", "2^48"},
    {"width", [](Config& c) { c.model.width = 0; }, "model.width", "at least 1"},
    {"heads", [](Config& c) { c.model.heads = 0; }, "model.heads", "at least 1"},
    {"blocks", [](Config& c) { c.model.blocks = 0; }, "model.blocks", "at least 1"},
    {"context", [](Config& c) { c.model.context = 0; }, "model.context", "at least 1"},
    {"hidden", [](Config& c) { c.model.hidden = 0; }, "model.hidden", "at least 1"},
    {"kv_heads", [](Config& c) { c.model.kv_heads = -1; }, "model.kv_heads", "at least 0"},
    {"heads divide width", [](Config& c) { c.model.heads = 3; }, "model.heads", "3 does not divide model.width 128"},
    {"head_dim even", [](Config& c) { c.model.width = 4; }, "model.heads", "= 1 channels, an odd number (rotary"},
    {"kv_heads divide heads", [](Config& c) { c.model.kv_heads = 3; }, "model.kv_heads", "3 does not divide model.heads 4"},
    {"rope_base", [](Config& c) { c.model.rope_base = 1.0; }, "model.rope_base", "above 1"},
    {"norm_epsilon", [](Config& c) { c.model.norm_epsilon = 0.0; }, "model.norm_epsilon", "above 0"},
    {"init_std", [](Config& c) { c.model.init_std = -0.1; }, "model.init_std", "above 0"},
    {"head z_loss", [](Config& c) { c.model.z_loss = -1.0; }, "model.z_loss", "at least 0"},
    {"experts", [](Config& c) { c.moe.experts = -1; }, "moe.experts", "at least 0"},
    {"experts recorded", [](Config& c) { c.moe.experts = 32768; }, "moe.experts", "at most 32767"},
    {"top_k", [](Config& c) { c.moe.top_k = 0; }, "moe.top_k", "at least 1"},
    {"top_k limit", [](Config& c) { c.moe.experts = 64; c.moe.top_k = 33; }, "moe.top_k", "at most 32"},
    {"groups limit", [](Config& c) { c.moe.experts = 128; c.moe.groups = 128; }, "moe.groups", "at most 64"},
    {"top_k experts", [](Config& c) { c.moe.top_k = 9; }, "moe.top_k", "9 is more than moe.experts 8"},
    {"top_k experts of a block", [](Config& c) { c.moe.experts_per_block = {0, 8, 1, 8}; c.moe.top_k = 2; },
     "moe.top_k", "2 is more than moe.experts_per_block 1"},
    {"experts_per_block length", [](Config& c) { c.moe.experts_per_block = {8, 8}; }, "moe.experts_per_block",
     "has 2 entries for model.blocks 4"},
    {"experts_per_block negative", [](Config& c) { c.moe.experts_per_block = {8, -8, 0, 0}; }, "moe.experts_per_block",
     "negative"},
    {"experts_per_block recorded", [](Config& c) { c.moe.experts_per_block = {8, 32768, 0, 0}; },
     "moe.experts_per_block", "above 32767"},
    {"every", [](Config& c) { c.moe.every = 0; }, "moe.every", "at least 1"},
    {"first_dense", [](Config& c) { c.moe.first_dense = -1; }, "moe.first_dense", "at least 0"},
    {"expert hidden", [](Config& c) { c.moe.hidden = 0; }, "moe.hidden", "at least 1"},
    {"shared_experts", [](Config& c) { c.moe.shared_experts = -1; }, "moe.shared_experts", "at least 0"},
    {"scale", [](Config& c) { c.moe.scale = 0.0; }, "moe.scale", "above 0"},
    {"groups", [](Config& c) { c.moe.groups = 0; }, "moe.groups", "at least 1"},
    {"groups_kept", [](Config& c) { c.moe.groups_kept = 0; }, "moe.groups_kept", "at least 1"},
    {"groups divide", [](Config& c) { c.moe.groups = 3; }, "moe.groups", "3 does not divide moe.experts 8"},
    {"groups_kept groups", [](Config& c) { c.moe.groups = 2; c.moe.groups_kept = 4; }, "moe.groups_kept",
     "4 is more than moe.groups 2"},
    {"top_k reachable", [](Config& c) { c.moe.groups = 4; c.moe.top_k = 3; }, "moe.top_k", "3 is more than the 2 experts"},
    {"share_sum", [](Config& c) { c.moe.groups = 4; c.moe.groups_kept = 2; c.moe.top_k = 3;
                                  c.moe.group_score = GroupScore::share_sum; }, "moe.group_score", "3 / 2 is not whole"},
    {"sigmoid before", [](Config& c) { c.moe.router = RouterKind::sigmoid; c.moe.normalise = Normalise::before; },
     "moe.normalise", "before has no meaning with moe.router sigmoid"},
    {"softmax none", [](Config& c) { c.moe.normalise = Normalise::none; }, "moe.normalise", "none has no meaning"},
    {"noisy before", [](Config& c) { c.moe.router = RouterKind::noisy_topk; c.moe.normalise = Normalise::before; },
     "moe.normalise", "before has no meaning with moe.router noisy_topk"},
    {"noisy groups", [](Config& c) { c.moe.router = RouterKind::noisy_topk; c.moe.groups = 2; }, "moe.groups",
     "2 cannot be combined with moe.router noisy_topk"},
    {"noisy bias", [](Config& c) { c.moe.router = RouterKind::noisy_topk; c.moe.bias_rule = BiasRule::sign; }, "moe.bias_rule",
     "sign cannot be combined with moe.router noisy_topk"},
    {"hash groups", [](Config& c) { c.moe.router = RouterKind::hash; c.moe.groups = 2; }, "moe.groups", "cannot be combined"},
    {"hash bias", [](Config& c) { c.moe.router = RouterKind::hash; c.moe.bias_rule = BiasRule::sign; }, "moe.bias_rule",
     "cannot be combined with moe.router hash"},
    {"hash aux", [](Config& c) { c.moe.router = RouterKind::hash; c.moe.aux_loss = 0.1; }, "moe.aux_loss", "has no scores"},
    {"hash importance", [](Config& c) { c.moe.router = RouterKind::hash; c.moe.importance_loss = 0.1; }, "moe.importance_loss",
     "has no scores"},
    {"hash z", [](Config& c) { c.moe.router = RouterKind::hash; c.moe.z_loss = 0.1; }, "moe.z_loss", "has no scores"},
    {"aux_loss", [](Config& c) { c.moe.aux_loss = -0.1; }, "moe.aux_loss", "at least 0"},
    {"importance_loss", [](Config& c) { c.moe.importance_loss = -0.1; }, "moe.importance_loss", "at least 0"},
    {"z_loss", [](Config& c) { c.moe.z_loss = -0.1; }, "moe.z_loss", "at least 0"},
    {"importance of one", [](Config& c) { c.moe.experts = 1; c.moe.importance_loss = 0.1; }, "moe.importance_loss",
     "needs more than one expert"},
    {"bias_rate", [](Config& c) { c.moe.bias_rate = -1.0; }, "moe.bias_rate", "at least 0"},
    {"bias_until", [](Config& c) { c.moe.bias_until = -1; }, "moe.bias_until", "at least 0"},
    {"bias_rate 0", [](Config& c) { c.moe.bias_rule = BiasRule::sign; c.moe.bias_rate = 0.0; }, "moe.bias_rate",
     "is 0 with moe.bias_rule sign (the selection bias would never move); raise it"},
    {"bias_until alone", [](Config& c) { c.moe.bias_until = 500; }, "moe.bias_until", "is 500 with moe.bias_rule none"},
    {"groups_kept limit", [](Config& c) { c.moe.experts = 64; c.moe.groups = 64; c.moe.groups_kept = 65; },
     "moe.groups_kept", "65 is more than moe.groups 64"},
    {"capacity_factor", [](Config& c) { c.moe.capacity_factor = -1.0; }, "moe.capacity_factor", "at least 0"},
    {"batch", [](Config& c) { c.train.batch = 0; }, "train.batch", "at least 1"},
    {"grains", [](Config& c) { c.train.grains = 0; }, "train.grains", "at least 1"},
    {"grains divide", [](Config& c) { c.train.grains = 5; }, "train.grains", "5 does not divide train.batch 16"},
    {"rows", [](Config& c) { c.train.batch = 1 << 23; c.train.evaluate_every = 0; }, "train.batch", "31 bits"},
    {"evaluate_tokens", [](Config& c) { c.train.evaluate_tokens = 4095; }, "train.evaluate_tokens", "less than one batch"},
    {"steps", [](Config& c) { c.train.steps = 0; }, "train.steps", "at least 1"},
    {"warmup", [](Config& c) { c.train.warmup = -1; }, "train.warmup", "at least 0"},
    {"warmup steps", [](Config& c) { c.train.steps = 20; }, "train.warmup", "100 is more than train.steps 20"},
    {"learning_rate", [](Config& c) { c.train.learning_rate = 0.0; }, "train.learning_rate", "above 0"},
    {"min_learning_rate", [](Config& c) { c.train.min_learning_rate = -1.0; }, "train.min_learning_rate", "at least 0"},
    {"min below peak", [](Config& c) { c.train.min_learning_rate = 1.0; }, "train.min_learning_rate", "is above"},
    {"beta1", [](Config& c) { c.train.beta1 = 1.0; }, "train.beta1", "in [0, 1)"},
    {"beta2", [](Config& c) { c.train.beta2 = -0.1; }, "train.beta2", "in [0, 1)"},
    {"epsilon", [](Config& c) { c.train.epsilon = 0.0; }, "train.epsilon", "above 0"},
    {"weight_decay", [](Config& c) { c.train.weight_decay = -1.0; }, "train.weight_decay", "at least 0"},
    {"clip", [](Config& c) { c.train.clip = -1.0; }, "train.clip", "at least 0"},
    {"max_time", [](Config& c) { c.train.max_time = -1.0; }, "train.max_time", "at least 0"},
    {"evaluate_every", [](Config& c) { c.train.evaluate_every = -1; }, "train.evaluate_every", "at least 0"},
    {"checkpoint_every", [](Config& c) { c.train.checkpoint_every = -1; }, "train.checkpoint_every", "at least 0"},
    {"keep", [](Config& c) { c.train.keep = 0; }, "train.keep", "at least 1"},
    {"bf16", [](Config& c) { c.train.precision = Precision::bf16; }, "train.precision", "does not train yet"},
    {"flush_every", [](Config& c) { c.record.flush_every = 0; }, "record.flush_every", "at least 1"},
    {"flush divides", [](Config& c) { c.record.flush_every = 7; }, "record.flush_every", "7 does not divide train.checkpoint_every"},
    {"sample_every", [](Config& c) { c.record.sample_every = -1; }, "record.sample_every", "at least 0"},
    {"log_every", [](Config& c) { c.record.log_every = 0; }, "record.log_every", "at least 1"},
    {"margin_bins", [](Config& c) { c.record.margin_bins = 0; }, "record.margin_bins", "in [1, 4096]"},
    {"threads", [](Config& c) { c.layout.threads = 0; }, "layout.threads", "in [1, 1024]"},
    {"poll", [](Config& c) { c.layout.poll = -1.0; }, "layout.poll", "at least 0"},
    {"zero 2", [](Config& c) { c.layout.zero = 2; }, "layout.zero", "is 2; must be 0 or 1 (of the stages of ZeRO"},
    {"zero -1", [](Config& c) { c.layout.zero = -1; }, "layout.zero", "is -1; must be 0 or 1"},
    {"3 chunks", [](Config& c) { c.moe.hidden_chunks = 3; }, "moe.hidden_chunks", "is 3; must be a power of two in [1, 64]"},
    {"0 chunks", [](Config& c) { c.moe.hidden_chunks = 0; }, "moe.hidden_chunks", "is 0; must be a power of two"},
    {"chunks of half a channel", [](Config& c) { c.moe.hidden = 36, c.moe.hidden_chunks = 8; }, "moe.hidden_chunks",
     "that divides moe.hidden 36"},
    {"team of none", [](Config& c) { c.layout.expert_tensor_parallel = 0; }, "layout.expert_tensor_parallel",
     "is 0; must be at least 1"},
    {"team without chunks", [](Config& c) { c.layout.expert_tensor_parallel = 2; }, "layout.expert_tensor_parallel",
     "2 does not divide moe.hidden_chunks 1"},
    {"team of more than a group",
     [](Config& c) { c.moe.hidden_chunks = 4, c.layout.expert_tensor_parallel = 4, c.layout.expert_parallel = 2; },
     "layout.expert_tensor_parallel", "4 does not divide the 2 ranks of an expert-parallel group", 4},
    {"team across nodes",
     [](Config& c) {
       c.moe.hidden_chunks = c.layout.expert_tensor_parallel = 2, c.layout.ranks_per_node = 1;
       c.layout.exchange = ExchangeKind::node;
     },
     "layout.expert_tensor_parallel", "2 does not divide layout.ranks_per_node 1", 4},
    {"team and gather",
     [](Config& c) {
       c.moe.hidden_chunks = c.layout.expert_tensor_parallel = 2, c.layout.exchange = ExchangeKind::gather;
     },
     "layout.expert_tensor_parallel", "2 cannot be combined with layout.exchange gather"},
    {"lanes", [](Config& c) { c.layout.lanes = 0; }, "layout.lanes", "is 0; must be a power of two in [1, 1024]"},
    {"lanes 3", [](Config& c) { c.layout.lanes = 3; }, "layout.lanes", "is 3; must be a power of two in [1, 1024]"},
    {"lanes 2048", [](Config& c) { c.layout.lanes = 2048; }, "layout.lanes", "must be a power of two in [1, 1024]"},
    {"timeout", [](Config& c) { c.layout.timeout = -1.0; }, "layout.timeout", "at least 0"},
    {"expert_parallel", [](Config& c) { c.layout.expert_parallel = -1; }, "layout.expert_parallel", "at least 0"},
    {"expert_parallel ranks", [](Config& c) { c.layout.expert_parallel = 3; }, "layout.expert_parallel",
     "3 does not divide the 4 ranks", 4},
};
// clang-format on

TEST(Validate, EachRuleAloneIsFound) {
  for (const Case& c : cases) {
    Config config;
    c.change(config);
    const auto found = validate(config, c.ranks);
    ASSERT_EQ(found.size(), 1u) << c.name << (found.size() > 1 ? ": " + found[1].key + " " + found[1].message : "");
    EXPECT_EQ(found[0].key, c.key) << c.name;
    EXPECT_NE(found[0].message.find(c.message), std::string::npos) << c.name << ": " << found[0].message;
  }
}

// Experts of three million elements each, which slabs fill up to 4096: that is no number to tell people.
TEST(Validate, ParametersAreCountedWithoutFilling) {
  Config c;
  c.model.vocabulary = 1000, c.model.width = 1000000, c.model.blocks = 1024;
  c.moe.experts = 32767, c.moe.hidden = 3;
  const std::int64_t parameters = model_size(c).total();
  EXPECT_GT(checked_slab_elements(c), Checked(parameters));
  const auto found = validate(c, 0);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].message.find("the model has " + std::to_string(parameters) + " parameters (at most 2^48"), 0u)
      << found[0].message;
  c.model.vocabulary = 0;
  EXPECT_NE(validate(c, 0).at(0).message.find(" parameters without its embedding"), std::string::npos);
  c.model.blocks = 4;
  EXPECT_EQ(checked_parameters(c), Checked(model_size(c).total()));
  EXPECT_TRUE(validate(c, 0).empty());
}

TEST(Validate, GoodConfigurationsPass) {
  const std::vector<std::function<void(Config&)>> changes{
      [](Config&) {},
      [](Config& c) {
        c.moe.experts = 0;
        c.moe.top_k = 4;
      },
      [](Config& c) {
        c.moe.experts = 1;
        c.moe.importance_loss = 0.1;
        c.moe.importance_form = ImportanceForm::squared_deviation;
      },
      [](Config& c) {
        c.moe.experts = 257;
        c.moe.top_k = 8;
        c.moe.router = RouterKind::sigmoid;
        c.moe.bias_rule = BiasRule::sign;
      },
      [](Config& c) {
        c.moe.router = RouterKind::sigmoid;
        c.moe.normalise = Normalise::none;
        c.moe.aux_loss = 1e-4;
      },
      [](Config& c) {
        c.moe.router = RouterKind::hash;
        c.moe.bias_rate = 0.1;
      },
      [](Config& c) {
        c.moe.router = RouterKind::noisy_topk;
        c.moe.top_k = 2;
        c.moe.importance_loss = 0.1;
      },
      [](Config& c) {
        c.moe.groups = 4;
        c.moe.groups_kept = 2;
        c.moe.top_k = 4;
        c.moe.group_score = GroupScore::share_sum;
      },
      [](Config& c) {
        c.moe.experts = 64;
        c.moe.groups = 64;
        c.moe.groups_kept = 64;
        c.moe.top_k = 32;
      },
      [](Config& c) {
        c.moe.router = RouterKind::sigmoid;
        c.moe.bias_rule = BiasRule::proportional;
        c.moe.bias_until = 500;
      },
      [](Config& c) {
        c.moe.experts = 0;
        c.moe.bias_until = 500;
      },
      [](Config& c) {
        c.moe.experts_per_block = {0, 8, 0, 64};
        c.moe.every = 3;
      },
      [](Config& c) {
        c.model.kv_heads = 2;
        c.train.checkpoint_every = 0;
        c.record.flush_every = 7;
      },
      [](Config& c) {
        c.train.schedule = Schedule::constant;
        c.train.min_learning_rate = 1.0;
      },
      [](Config& c) {
        c.train.evaluate_every = 0;
        c.train.evaluate_tokens = 0;
      },
      [](Config& c) { c.layout.expert_parallel = 2; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Config config;
    changes[i](config);
    for (const Violation& v : validate(config, 4)) ADD_FAILURE() << i << ": " << v.key << ": " << v.message;
  }
}

TEST(Validate, LayoutRulesNeedRanks) {
  Config c;
  c.layout.expert_parallel = 3;
  EXPECT_TRUE(validate(c, 0).empty());
  EXPECT_EQ(validate(c, 4).size(), 1u);
  EXPECT_TRUE(validate(c, 6).empty());
}

TEST(Validate, ManyAtOnceInOrder) {
  Config c;
  c.model.heads = 3;
  c.train.grains = 5;
  c.moe.top_k = 9;
  EXPECT_EQ(validate(c, 1).size(), 3u);
}

std::vector<std::string> lines_of(LoadResult result, int ranks) {
  add_violations(result, ranks);
  std::vector<std::string> lines;
  for (const ConfigError& e : result.errors) lines.push_back(e.text());
  return lines;
}

TEST(Validate, ViolationsStandAtTheirPlaceAmongTheOtherErrors) {
  const auto lines =
      lines_of(load_text("c.yaml", "model:\n  heads: 3\nmoe:\n  n_exprts: 4\n  top_k: 9\ntrain:\n  steps: 20\n",
                         {"train.keep=0"}),
               1);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].find("c.yaml:2:10: model.heads: 3 does not divide model.width 128"), 0u);
  EXPECT_EQ(lines[1].find("c.yaml:4:3: moe.n_exprts: unknown key (did you mean moe.experts?)"), 0u);
  // top_k 9 against the default of 8 experts is not reported: the number of experts is what was misspelled.
  EXPECT_EQ(lines[2].find("c.yaml:7:10: train.warmup: 100 is more than train.steps 20"), 0u)
      << "at the option that was given";
  EXPECT_EQ(lines[3], "command line: train.keep: is 0; must be at least 1");
}

TEST(Validate, NamesOfOptionsAreWholeWords) {
  // moe.experts_per_block could not be read; a rule about moe.experts is reported all the same.
  const auto lines = lines_of(load_text("c.yaml", "moe: {experts_per_block: x, experts: 40000}"), 0);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[1].find("at most 32767"), std::string::npos);
}

}  // namespace
}  // namespace switchyard
