// Every rule between options is broken at least once, by the smallest change to a good configuration.
#include <gtest/gtest.h>

#include "config/estimate.hpp"
#include "config/yaml.hpp"
#include "rule_cases.hpp"

namespace switchyard {
namespace {

TEST(Validate, EachRuleAloneIsFound) {
  for (const RuleCase& c : rule_cases) {
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
