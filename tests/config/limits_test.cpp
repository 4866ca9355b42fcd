// The ends of what is allowed: the last good value of each option passes and the next one is refused, and whatever
// passes can be computed with: its numbers fit.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "config/estimate.hpp"
#include "config/options.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

struct Limit {
  const char *key, *lowest, *below, *highest, *above;  ///< "" where that end is the type's or another rule's
  std::vector<std::string> with{};                     ///< options that keep other rules quiet
  int ranks = 0;
};

const Limit limits[] = {
    {"model.vocabulary", "0", "-1", "16777216", "16777217"},
    {"model.width", "4", "0", "1048576", "1048577", {"model.heads=2"}},
    {"model.blocks", "1", "0", "1024", "1025"},
    {"model.heads", "1", "0", "64", "128"},  // a head of two channels, of one
    {"model.kv_heads", "0", "-1", "4", "5"},
    {"model.context", "1", "0", "", ""},
    {"model.hidden", "1", "0", "16777216", "16777217"},
    {"model.rope_base", "1.0000000000000002", "1", "1e308", ""},
    {"model.norm_epsilon", "5e-324", "0", "", ""},
    {"model.init_std", "5e-324", "0", "", ""},
    {"model.z_loss", "0", "-5e-324", "", ""},
    {"moe.experts", "0", "-1", "32767", "32768"},
    {"moe.top_k", "1", "0", "32", "33", {"moe.experts=64", "train.batch=8"}},
    {"moe.top_k", "", "", "7", "8", {"moe.experts=7"}},
    {"moe.top_k", "", "", "6", "7", {"moe.experts=12", "moe.groups=4", "moe.groups_kept=2"}},
    {"moe.every", "1", "0", "2147483647", ""},
    {"moe.first_dense", "0", "-1", "2147483647", ""},
    {"moe.hidden", "1", "0", "16777216", "16777217"},
    {"moe.shared_experts", "0", "-1", "32768", "32769"},
    {"moe.scale", "5e-324", "0", "", ""},
    {"moe.groups", "1", "0", "64", "65", {"moe.experts=64"}},
    {"moe.groups_kept", "1", "0", "4", "5", {"moe.groups=4"}},
    {"moe.aux_loss", "0", "-5e-324", "", ""},
    {"moe.importance_loss", "0", "-5e-324", "", ""},
    {"moe.z_loss", "0", "-5e-324", "", ""},
    {"moe.router_std", "0", "-5e-324", "", ""},
    {"moe.router_prior", "0", "-5e-324", "", ""},
    {"moe.bias_from", "0", "-1", "0", "1"},  // without a rule
    {"moe.bias_from", "0", "-1", "999", "1000", {"moe.bias_rule=sign"}},
    {"moe.bias_range", "1e-6", "9.9e-7", "1", "1.0000001", {"moe.bias_rule=quantile"}},
    {"moe.bias_bins", "16", "15", "1024", "1025", {"moe.bias_rule=quantile"}},
    {"moe.bias_memory", "0", "-5e-324", "0.9999999999999999", "1", {"moe.bias_rule=quantile"}},
    {"moe.bias_rate", "5e-324", "0", "", "", {"moe.bias_rule=sign"}},
    {"moe.bias_rate", "0", "-5e-324", "", ""},
    {"moe.bias_until", "0", "-1", "0", "1"},  // without a rule
    {"moe.bias_until", "0", "-1", "9223372036854775807", "", {"moe.bias_rule=sign"}},
    {"moe.capacity_factor", "0", "-5e-324", "1e308", ""},
    {"moe.experts_per_block", "[0, 0, 0, 1]", "[0, 0, 0, -1]", "[0, 0, 0, 32767]", "[0, 0, 0, 32768]"},
    {"moe.experts_per_block", "[1, 1, 1, 1]", "[1, 1, 1]", "[1, 1, 1, 1]", "[1, 1, 1, 1, 1]"},
    {"train.steps", "1", "0", "1125899906842624", "1125899906842625", {"train.warmup=0"}},  // 2^62 tokens
    {"train.batch", "8", "0", "8388600", "8388608", {"train.evaluate_every=0"}},            // 2^31 rows of 256
    {"train.batch", "8", "0", "4194296", "4194304", {"train.evaluate_every=0", "moe.top_k=2"}},
    {"train.grains", "1", "0", "16", "32"},
    {"train.learning_rate", "1e-4", "0", "", ""},
    {"train.min_learning_rate", "0", "-5e-324", "0.001", "0.0010000000000000002"},
    {"train.min_learning_rate", "0", "-5e-324", "1e308", "", {"train.schedule=constant"}},
    {"train.warmup", "0", "-1", "1000", "1001"},
    {"train.router_rate", "0", "-5e-324", "", ""},
    {"train.router_warmup", "0", "-1", "9223372036854775807", ""},
    {"train.decay_share", "5e-324", "0", "1", "1.0000000000000002"},
    {"train.beta1", "0", "-5e-324", "0.9999999999999999", "1"},
    {"train.beta2", "0", "-5e-324", "0.9999999999999999", "1"},
    {"train.epsilon", "5e-324", "0", "", ""},
    {"train.weight_decay", "0", "-5e-324", "", ""},
    {"train.clip", "0", "-5e-324", "", ""},
    {"train.max_time", "0", "-5e-324", "", ""},
    {"train.evaluate_every", "0", "-1", "9223372036854775807", ""},
    {"train.evaluate_tokens", "4096", "4095", "9223372036854775807", ""},
    {"train.evaluate_tokens", "-9223372036854775808", "", "", "", {"train.evaluate_every=0"}},
    {"train.checkpoint_every", "0", "-10", "9223372036854775800", ""},
    {"train.keep", "1", "0", "2147483647", ""},
    {"layout.threads", "1", "0", "1024", "1025"},
    {"layout.expert_parallel", "0", "-1", "6", "12", {}, 6},
    {"layout.expert_parallel", "2", "", "3", "4", {}, 6},
    {"layout.timeout", "0", "-5e-324", "1e308", ""},
    {"record.flush_every", "1", "0", "500", "501"},
    {"record.sample_every", "0", "-1", "9223372036854775807", ""},
    {"record.timeline_every", "0", "-1", "9223372036854775807", ""},
    {"record.log_every", "1", "0", "9223372036854775807", ""},
    {"record.margin_bins", "1", "0", "4096", "4097"},
};

/// How many complaints there are about the option of the limit with this value.
int complaints(const Limit& limit, const std::string& value) {
  std::vector<std::string> options = limit.with;
  options.push_back(std::string(limit.key).append("=").append(value));
  const LoadResult loaded = load_text("f", "", options);
  EXPECT_TRUE(loaded.errors.empty()) << limit.key << "=" << value << ": " << loaded.errors.at(0).text();
  int found = 0;
  for (const Violation& v : validate(loaded.config, limit.ranks)) found += v.key == limit.key;
  return found;
}

TEST(Limits, TheLastGoodValuePassesAndTheNextIsRefused) {
  for (const Limit& limit : limits) {
    for (const std::string good : {limit.lowest, limit.highest})
      if (!good.empty()) {
        EXPECT_EQ(complaints(limit, good), 0) << limit.key << "=" << good;
      }
    for (const std::string bad : {limit.below, limit.above})
      if (!bad.empty()) {
        EXPECT_EQ(complaints(limit, bad), 1) << limit.key << "=" << bad;
      }
  }
}

/// Parameters by their closed form, in floating point.
long double parameters(const Config& c) {
  const long double d = c.model.width, kv = static_cast<long double>(c.kv_heads()) * c.head_dim();
  const int matrices = c.model.activation == Activation::swiglu ? 3 : 2;
  long double sum = d * c.model.vocabulary * (c.model.tied ? 1 : 2) + d;
  for (int b = 0; b < c.model.blocks; ++b) {
    const long double experts = c.block_experts(b), routers = c.moe.router == RouterKind::noisy_topk ? 2
                                                              : c.moe.router == RouterKind::hash     ? 0
                                                                                                     : 1;
    sum += 2 * d + 2 * d * d + 2 * kv * d;
    sum += experts > 0 ? routers * experts * d + matrices * (experts + c.moe.shared_experts) * c.moe.hidden * d
                       : matrices * static_cast<long double>(c.model.hidden) * d;
  }
  return sum;
}

/// A configuration of any size within the ends of its options.
Config drawn(std::mt19937& draw) {
  const auto size = [&](int most) { return 1 << draw() % static_cast<unsigned>(most + 1); };
  Config c;
  c.model = {.vocabulary = size(24), .width = 4 * size(18), .blocks = size(10), .heads = 2, .context = size(20)};
  c.model.hidden = size(24), c.model.tied = draw() % 2, c.model.kv_heads = static_cast<int>(draw() % 2);
  c.model.activation = draw() % 2 ? Activation::swiglu : Activation::relu;
  c.moe.experts = static_cast<int>(draw() % 3) * size(13), c.moe.hidden = size(24);
  c.moe.shared_experts = draw() % 2 ? 0 : size(15), c.moe.every = size(3);
  c.moe.router = std::array{RouterKind::softmax, RouterKind::hash, RouterKind::noisy_topk}[draw() % 3];
  c.train.batch = c.train.grains = size(20), c.train.evaluate_every = 0;
  c.train.steps = std::int64_t{1} << draw() % 63, c.train.warmup = 0;
  return c;
}

TEST(Limits, WhatPassesFits) {
  std::mt19937 draw(5);
  int good = 0, large = 0;
  for (int i = 0; i < 3000; ++i) {
    const Config c = drawn(draw);
    const long double exact = parameters(c), most = std::pow(2.0L, 48);
    EXPECT_EQ(checked_parameters(c).fits(), exact < std::pow(2.0L, 63));
    EXPECT_TRUE(!checked_parameters(c).fits() || static_cast<long double>(checked_parameters(c).value()) == exact);
    EXPECT_GE(checked_slab_elements(c), checked_parameters(c));
    const bool passes = validate(c, 0).empty();
    large += exact > most;
    EXPECT_FALSE(passes && exact > most) << dump(c, {});
    if (!passes) continue;
    ++good;
    const ModelSize size = model_size(c);
    EXPECT_EQ(static_cast<long double>(size.total()), exact);
    EXPECT_LE(size.active, size.total());
    EXPECT_LE(dense_parameters(c), size.active);
    EXPECT_TRUE(std::isfinite(flop_per_token(c)) && flop_per_token(c) > 0.0);
    EXPECT_GT(c.step_tokens(), 0);
    EXPECT_LE(static_cast<long double>(c.step_tokens()) * c.train.steps, std::pow(2.0L, 62));
    EXPECT_FALSE(describe(c, {RankBytes{}}).empty());
  }
  EXPECT_GT(good, 100);
  EXPECT_GT(large, 100);
}

}  // namespace
}  // namespace switchyard
