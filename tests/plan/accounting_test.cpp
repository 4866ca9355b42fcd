// What a model has and uses against integers that are published, or reckoned by hand from closed forms.
#include "plan/accounting.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/estimate.hpp"

namespace switchyard::plan {
namespace {

Config mistral(int experts) {
  Config c;
  c.model = {.vocabulary = 32000, .width = 4096, .blocks = 32, .heads = 32, .kv_heads = 8, .context = 4096};
  c.model.hidden = c.moe.hidden = 14336, c.model.activation = Activation::swiglu, c.model.tied = false;
  c.moe.experts = experts, c.moe.top_k = 2;
  return c;
}

Config deepseek(int width, int blocks, int vocabulary, int dense_hidden, int heads) {
  Config c;
  c.model = {.vocabulary = vocabulary, .width = width, .blocks = blocks, .attention = AttentionKind::latent};
  c.model.heads = heads, c.model.head_dim = c.model.value_dim = 128, c.model.rope_dim = 64;
  c.model.query_rank = 1536, c.model.kv_rank = 512;
  c.model.hidden = dense_hidden, c.model.activation = Activation::swiglu, c.model.tied = false;
  return c;
}

Config deepseek_v2() {
  Config c = deepseek(5120, 60, 102400, 12288, 128);
  c.moe.experts = 160, c.moe.top_k = 6, c.moe.first_dense = 1, c.moe.hidden = 1536, c.moe.shared_experts = 2;
  return c;
}

Config deepseek_v3() {
  Config c = deepseek(7168, 61, 129280, 18432, 128);
  c.moe.experts = 256, c.moe.top_k = 8, c.moe.first_dense = 3, c.moe.hidden = 2048, c.moe.shared_experts = 1;
  c.moe.router = RouterKind::sigmoid, c.moe.bias_rule = BiasRule::sign;
  return c;
}

std::int64_t total_of(const Accounting& a, const std::string& part) {
  for (const PartCount& p : a.parts)
    if (p.name == part) return p.total;
  throw std::out_of_range(part);
}

// Mixtral: what all tokens share, and eight times one expert index of all layers. Not eight models: only feed-forward
// networks are there eight times.
TEST(Accounting, Mixtral) {
  const Accounting a = count_parameters(mistral(8));
  const std::int64_t shared = 1605636096, expert = 5637144576;
  EXPECT_EQ(a.total, 46702792704);
  EXPECT_EQ(a.active, 12879925248);
  EXPECT_EQ(a.total, shared + 8 * expert);
  EXPECT_EQ(a.active, shared + 2 * expert);
  EXPECT_EQ(total_of(a, "experts"), 8 * expert);
  EXPECT_EQ(8 * count_parameters(mistral(0)).total, 57933856768);
}

TEST(Accounting, DeepSeek) {
  const Accounting v2 = count_parameters(deepseek_v2()), v3 = count_parameters(deepseek_v3());
  EXPECT_EQ(v2.total, 235741434880);
  EXPECT_EQ(v2.active, 21375800320);
  EXPECT_EQ(v3.total, 671026419200);
  EXPECT_EQ(v3.active, 37552297472);
  EXPECT_EQ(v3.active_without_input, 36625618432);
  EXPECT_EQ(v3.active_without_embeddings, 35698939392);
  EXPECT_EQ(total_of(v3, "selection bias"), 58 * 256);
  EXPECT_EQ(total_of(v2, "selection bias"), 0);
}

/// Of DeepSeek-V3, part by part.
TEST(Accounting, PartsAreClosedForms) {
  const std::int64_t d = 7168, q = 1536, kv = 512, heads = 128, network = 3 * d * 2048, mixtures = 58;
  const Accounting a = count_parameters(deepseek_v3());
  EXPECT_EQ(total_of(a, "embedding"), 129280 * d);
  EXPECT_EQ(total_of(a, "attention"),
            61 * (d * q + q * heads * (128 + 64) + d * (kv + 64) + kv * heads * (128 + 128) + heads * 128 * d));
  EXPECT_EQ(total_of(a, "norms"), 61 * (2 * d + q + kv) + d);
  EXPECT_EQ(total_of(a, "router"), mixtures * 256 * d);
  EXPECT_EQ(total_of(a, "dense feed-forward"), 3 * 3 * d * 18432);
  EXPECT_EQ(total_of(a, "shared experts"), mixtures * network);
  EXPECT_EQ(total_of(a, "experts"), mixtures * 256 * network);
  EXPECT_EQ(total_of(a, "head"), 129280 * d);
  EXPECT_EQ(a.parts[6].active, mixtures * 8 * network);
  EXPECT_EQ(a.attention_flop, 61LL * 256 * heads * (192 + 128));  // of the usual model.context
}

/// Configurations that differ in one thing each.
std::vector<Config> variants() {
  std::vector<Config> all(9);
  for (Config& c : all) c.model.vocabulary = 96;
  all[1].model.tied = false, all[1].moe.experts_per_block = {0, 3, 5, 8};
  all[2].model.activation = Activation::swiglu, all[2].moe.shared_experts = 2, all[2].moe.shared_gate = true;
  all[3].model.head_dim = 6, all[3].model.query_key_norm = QueryKeyNorm::all, all[3].moe.router = RouterKind::hash;
  all[4].model.attention_bias = true, all[4].moe.experts = 0;
  all[5].moe.experts = 1, all[5].moe.top_k = 1, all[5].moe.router = RouterKind::noisy_topk;
  all[6] = deepseek_v2();
  all[7] = deepseek_v3(), all[7].model.tied = true;
  all[8].moe.experts = 257, all[8].moe.top_k = 7, all[8].moe.every = 3;
  return all;
}

TEST(Accounting, AgreesWithTheListAndTheEstimates) {
  for (const Config& c : variants()) {
    const Accounting a = count_parameters(c);
    std::int64_t list = 0, total = 0, active = 0;
    for (const TensorSpec& t : architecture(c))
      if (t.adds_to.empty()) list += t.elements();
    for (const PartCount& part : a.parts) total += part.total, active += part.active;
    EXPECT_EQ(total, a.total);
    EXPECT_EQ(active, a.active);
    EXPECT_EQ(a.total, list + total_of(a, "selection bias"));
    EXPECT_EQ(model_size(c).total(), list);
    EXPECT_EQ(model_size(c).active, a.active - total_of(a, "selection bias"));
    EXPECT_EQ(3.0 * double(a.flop()), flop_per_token(c));
  }
}

// A tied matrix is the head too: leaving out the input embedding leaves it in.
TEST(Accounting, ATiedEmbeddingIsThereOnce) {
  Config c;
  c.model.vocabulary = 96;
  const Accounting tied = count_parameters(c);
  c.model.tied = false;
  const Accounting untied = count_parameters(c);
  EXPECT_EQ(untied.total, tied.total + 96 * 128);
  EXPECT_EQ(tied.active_without_input, tied.active);
  EXPECT_EQ(tied.active_without_input, untied.active_without_input);
  EXPECT_EQ(tied.active_without_embeddings, untied.active_without_embeddings);
  EXPECT_EQ(tied.product_flop, untied.product_flop);
}

TEST(Accounting, TextAndJsonSayTheSame) {
  const Accounting a = count_parameters(deepseek_v3());
  const std::string text = accounting_text(a);
  for (const char* part :
       {"671,026,419,200 in all\n", "37,552,297,472 with embedding and head in full\n",
        "36,625,618,432 without the input embedding\n", "35,698,939,392 without embedding and head\n",
        "  selection bias                    14,848            14,848\n"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  const auto json = nlohmann::json::parse(accounting_json(a));
  EXPECT_EQ(json["parameters"]["total"], a.total);
  EXPECT_EQ(json["parameters"]["active_without_embeddings"], a.active_without_embeddings);
  EXPECT_EQ(json["parts"].size(), a.parts.size());
  EXPECT_EQ(json["parts"]["experts"]["active"], a.parts[6].active);
  EXPECT_EQ(json["forward_flop_per_token"]["total"], a.flop());
}

}  // namespace
}  // namespace switchyard::plan
