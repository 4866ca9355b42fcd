// The tensors of attentions and gates that are counted but not trained yet against lists written by hand, the rules
// between their options, and their refusal where a model is to be trained.
#include <gtest/gtest.h>

#include <functional>

#include "config/architecture.hpp"
#include "config/estimate.hpp"

namespace switchyard {
namespace {

/// Names and shapes of the parts of the first block that begin so.
std::string shapes_of(const Config& c, const std::string& part) {
  std::string text;
  for (const TensorSpec& t : block_architecture(c, 0)) {
    if (!t.name.starts_with("blocks.0." + part)) continue;
    text += t.name.substr(9);
    for (const auto n : t.shape) text += " " + std::to_string(n);
    if (t.init == Init::ones) text += " ones";
    text += t.decay ? " decay" : t.init_std == 0.0 && t.init == Init::normal ? " zero" : "";
    text += "\n";
  }
  return text;
}

Config wide_heads() {
  Config c;
  c.model = {.vocabulary = 50, .width = 12, .blocks = 2, .heads = 3, .kv_heads = 1, .head_dim = 6};
  return c;
}

Config latent() {
  Config c;
  c.model = {.vocabulary = 50, .width = 12, .blocks = 2, .attention = AttentionKind::latent, .heads = 3, .head_dim = 5};
  c.model.query_rank = 7, c.model.kv_rank = 9, c.model.rope_dim = 2, c.model.value_dim = 4;
  return c;
}

TEST(AttentionTensors, HeadsOfAnyWidthWithBiasesAndNorms) {
  Config c = wide_heads();
  c.model.attention_bias = true, c.model.query_key_norm = QueryKeyNorm::head;
  EXPECT_EQ(shapes_of(c, "attention."), R"(attention.q.weight 18 12 decay
attention.k.weight 6 12 decay
attention.v.weight 6 12 decay
attention.o.weight 12 18 decay
attention.q.bias 18 zero
attention.k.bias 6 zero
attention.v.bias 6 zero
attention.q_norm.weight 6 ones
attention.k_norm.weight 6 ones
)");
  c.model.attention_bias = false, c.model.query_key_norm = QueryKeyNorm::all, c.model.kv_heads = 0;
  EXPECT_EQ(shapes_of(c, "attention.q_norm") + shapes_of(c, "attention.k_norm"),
            "attention.q_norm.weight 18 ones\nattention.k_norm.weight 18 ones\n");
}

TEST(AttentionTensors, Latent) {
  Config c = latent();
  EXPECT_EQ(shapes_of(c, "attention."), R"(attention.q_a.weight 7 12 decay
attention.q_a_norm.weight 7 ones
attention.q_b.weight 21 7 decay
attention.kv_a.weight 11 12 decay
attention.kv_a_norm.weight 9 ones
attention.kv_b.weight 27 9 decay
attention.o.weight 12 12 decay
)");
  c.model.query_rank = 0, c.model.value_dim = 0;
  EXPECT_EQ(shapes_of(c, "attention."), R"(attention.q.weight 21 12 decay
attention.kv_a.weight 11 12 decay
attention.kv_a_norm.weight 9 ones
attention.kv_b.weight 30 9 decay
attention.o.weight 12 15 decay
)");
}

TEST(AttentionTensors, TheGateOfSharedExperts) {
  Config c = wide_heads();
  c.moe.shared_experts = 2, c.moe.shared_gate = true, c.moe.hidden = 8;
  EXPECT_EQ(
      shapes_of(c, "moe.shared"),
      "moe.shared.up.weight 16 12 decay\nmoe.shared.down.weight 12 16 decay\nmoe.shared_gate.weight 1 12 decay\n");
}

/// A change, the option and a part of what is said about it.
struct Case {
  Config config;
  std::function<void(Config&)> change;
  const char *key, *message;
};

void expect_one(const Case& c, Use use) {
  Config config = c.config;
  c.change(config);
  const std::vector<Violation> found = validate(config, 0, use);
  ASSERT_EQ(found.size(), 1u) << c.key << " " << c.message << (found.size() > 1 ? ": " + found[1].message : "");
  EXPECT_EQ(found[0].key, c.key);
  EXPECT_NE(found[0].message.find(c.message), std::string::npos) << found[0].message;
}

TEST(AttentionRules, EachAloneIsFoundWhereModelsAreCounted) {
  EXPECT_TRUE(validate(wide_heads(), 0, Use::count).empty());
  EXPECT_TRUE(validate(latent(), 0, Use::count).empty());
  const auto head_dim = [](int value) { return [value](Config& c) { c.model.head_dim = value; }; };
  for (const Case& c : {
           Case{wide_heads(), head_dim(-1), "model.head_dim", "at least 0"},
           Case{wide_heads(), head_dim((1 << 20) + 1), "model.head_dim", "at most 1048576"},
           Case{wide_heads(), head_dim(5), "model.head_dim", "is 5, an odd number"},
       })
    expect_one(c, Use::count);
  for (const Case& c : {
           Case{{}, [](Config& b) { b.model.query_rank = 8; }, "model.query_rank", "8 with model.attention grouped"},
           Case{{}, [](Config& b) { b.model.kv_rank = 8; }, "model.kv_rank", "8 with model.attention grouped"},
           Case{{}, [](Config& b) { b.model.rope_dim = 8; }, "model.rope_dim", "8 with model.attention grouped"},
           Case{{}, [](Config& b) { b.model.value_dim = 8; }, "model.value_dim", "8 with model.attention grouped"},
           Case{{}, [](Config& b) { b.moe.shared_gate = true; }, "moe.shared_gate", "with moe.shared_experts 0"},
           Case{latent(), [](Config& b) { b.model.kv_rank = 0; }, "model.kv_rank", "is 0 with model.attention latent"},
           Case{latent(), [](Config& b) { b.model.query_rank = -1; }, "model.query_rank", "at least 0"},
           Case{latent(), [](Config& b) { b.model.rope_dim = 3; }, "model.rope_dim", "is 3, an odd number"},
           Case{latent(), [](Config& b) { b.model.kv_heads = 1; }, "model.kv_heads", "1 with model.attention latent"},
           Case{latent(), [](Config& b) { b.model.query_key_norm = QueryKeyNorm::all; }, "model.query_key_norm",
                "all has no meaning with model.attention latent"},
           Case{latent(), [](Config& b) { b.model.attention_bias = true; }, "model.attention_bias", "has no meaning"},
           Case{latent(), [](Config& b) { b.model.heads = 0; }, "model.heads", "at least 1"},
       })
    expect_one(c, Use::count);
}

TEST(AttentionRules, WhatIsOnlyCountedIsRefusedByName) {
  const char* later = " is not available in train yet (`switchyard plan --parameters` counts it)";
  for (const Case& c : {
           Case{latent(), [](Config&) {}, "model.attention", "latent"},
           Case{wide_heads(), [](Config&) {}, "model.head_dim", "6 with model.heads 3 and model.width 12"},
           Case{{}, [](Config& b) { b.model.query_key_norm = QueryKeyNorm::head; }, "model.query_key_norm", "head"},
           Case{{}, [](Config& b) { b.model.query_key_norm = QueryKeyNorm::all; }, "model.query_key_norm", "all"},
           Case{{}, [](Config& b) { b.model.attention_bias = true; }, "model.attention_bias", "true"},
           Case{{}, [](Config& b) { b.moe.shared_experts = 1, b.moe.shared_gate = true; }, "moe.shared_gate", "true"},
       }) {
    Config config = c.config;
    c.change(config);
    EXPECT_TRUE(validate(config, 0, Use::count).empty()) << c.key;
    const std::string message = std::string(c.message) + later;
    expect_one({c.config, c.change, c.key, message.c_str()}, Use::train);
  }
}

// A width of heads that is given and is the usual one is nothing new: the same model.
TEST(AttentionRules, AHeadWidthThatIsTheUsualOneIsTrained) {
  Config c;
  const ModelSize size = model_size(c);
  c.model.head_dim = c.model.width / c.model.heads;
  EXPECT_TRUE(validate(c, 0).empty());
  EXPECT_EQ(model_size(c).total(), size.total());
}

// Factors that are each allowed, whose product is not; as many heads as numbers have room for.
TEST(AttentionRules, TooManyChannelsAreRefusedAndNothingWraps) {
  Config c;
  c.model.heads = 2147483646, c.model.head_dim = 1 << 20, c.model.kv_heads = 2, c.model.width = 1 << 20;
  EXPECT_FALSE(checked_parameters(c).fits());
  EXPECT_EQ(validate(c, 0, Use::count).at(0).key, "model.width");
  c.model.width = 2, c.model.heads = 1 << 20;  // 2^42 parameters a block, but 2^40 channels in every row
  c.model.kv_heads = 1, c.model.context = 1 << 20, c.train.evaluate_every = 0;
  EXPECT_EQ(validate(c, 0, Use::count).at(0).key, "train.batch");
}

}  // namespace
}  // namespace switchyard
