// What a misspelled option was meant to be: the distance against its definition, every slip of the keyboard, and the
// names that well-known configurations have.
#include "config/options.hpp"

#include <gtest/gtest.h>

#include <set>

namespace switchyard {
namespace {

/// Optimal string alignment, from its recursive definition.
int distance(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return static_cast<int>(a.size() + b.size());
  const std::string shorter_a = a.substr(1), shorter_b = b.substr(1);
  int least = std::min(
      {distance(shorter_a, b) + 1, distance(a, shorter_b) + 1, distance(shorter_a, shorter_b) + (a[0] != b[0])});
  if (a.size() > 1 && b.size() > 1 && a[0] == b[1] && a[1] == b[0])
    least = std::min(least, distance(a.substr(2), b.substr(2)) + 1);
  return least;
}

TEST(Options, DistancesAreThoseOfTheDefinition) {
  std::vector<std::string> words{""};
  for (std::size_t i = 0; i < words.size() && words[i].size() < 4; ++i)
    for (const char c : {'a', 'b', 'c'}) words.push_back(words[i] + c);
  for (const std::string& a : words)
    for (const std::string& b : words)
      if (a.size() + b.size() <= 6) {
        ASSERT_EQ(edit_distance(a, b), distance(a, b)) << a << " and " << b;
      }
}

std::string leaf(const std::string& key) { return key.substr(key.find('.') + 1); }

TEST(Options, KeysAreOnceAndInSections) {
  const std::set<std::string> once(option_keys().begin(), option_keys().end());
  EXPECT_EQ(once.size(), option_keys().size());
  EXPECT_EQ(section_names(), (std::vector<std::string>{"model", "moe", "data", "train", "layout", "record"}));
  for (const std::string& key : option_keys()) {
    EXPECT_EQ(suggest_key(key), key);
    EXPECT_EQ(std::count(key.begin(), key.end(), '.'), 1) << key;
  }
}

/// A letter left out, doubled, put in, replaced, or swapped with the next.
std::vector<std::string> slips(const std::string& word) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < word.size(); ++i) {
    std::string left_out = word, doubled = word, other = word, swapped = word;
    left_out.erase(i, 1), doubled.insert(i, 1, word[i]), other[i] = 'q';
    if (i > 0) std::swap(swapped[i - 1], swapped[i]);
    all.insert(all.end(), {left_out, doubled, other, swapped});
  }
  return all;
}

TEST(Options, EverySlipOfTheKeyboardIsUnderstood) {
  for (const std::string& key : option_keys())
    for (const std::string& slip : slips(leaf(key))) {
      const std::string typed = key.substr(0, key.find('.') + 1) + slip, meant = suggest_key(typed);
      ASSERT_NE(meant, "") << typed;
      EXPECT_LE(edit_distance(leaf(meant), slip), 1) << typed << " is not " << meant;
      bool alone = true;
      for (const std::string& other : option_keys())
        alone &= leaf(other) == leaf(key) || edit_distance(leaf(other), slip) > 2;
      if (alone) {
        EXPECT_EQ(meant, key) << typed;
      }
    }
}

// Of configurations that people come with: Mixtral's and DeepSeek-V2's config.json (Hugging Face), nanoGPT's train.py.
constexpr std::pair<const char*, const char*> foreign_names[] = {
    {"hidden_size", "model.width"},
    {"num_hidden_layers", "model.blocks"},
    {"num_attention_heads", "model.heads"},
    {"num_key_value_heads", "model.kv_heads"},
    {"head_dim", "model.head_dim"},
    {"qk_nope_head_dim", "model.head_dim"},
    {"qk_rope_head_dim", "model.rope_dim"},
    {"v_head_dim", "model.value_dim"},
    {"q_lora_rank", "model.query_rank"},
    {"kv_lora_rank", "model.kv_rank"},
    {"attention_bias", "model.attention_bias"},
    {"num_local_experts", "moe.experts"},
    {"num_experts_per_tok", "moe.top_k"},
    {"vocab_size", "model.vocabulary"},
    {"rope_theta", "model.rope_base"},
    {"rms_norm_eps", "model.norm_epsilon"},
    {"tie_word_embeddings", "model.tied"},
    {"initializer_range", "model.init_std"},
    {"router_aux_loss_coef", "moe.aux_loss"},
    {"intermediate_size", "model.hidden"},
    {"moe_intermediate_size", "moe.hidden"},
    {"n_routed_experts", "moe.experts"},
    {"n_shared_experts", "moe.shared_experts"},
    {"routed_scaling_factor", "moe.scale"},
    {"n_group", "moe.groups"},
    {"topk_group", "moe.groups_kept"},
    {"norm_topk_prob", "moe.normalise"},
    {"first_k_dense_replace", "moe.first_dense"},
    {"n_layer", "model.blocks"},
    {"n_head", "model.heads"},
    {"n_embd", "model.width"},
    {"block_size", "model.context"},
    {"batch_size", "train.batch"},
    {"max_iters", "train.steps"},
    {"warmup_iters", "train.warmup"},
    {"min_lr", "train.min_learning_rate"},
    {"grad_clip", "train.clip"},
    {"eval_interval", "train.evaluate_every"},
    {"log_interval", "record.log_every"},
    {"weight_decay", "train.weight_decay"},
};

TEST(Options, NamesOfOtherProgramsAreUnderstood) {
  for (const auto& [name, meant] : foreign_names) EXPECT_EQ(suggest_key(std::string("model.") + name), meant) << name;
}

TEST(Options, SectionsAreUnderstoodWhereTheyAreNear) {
  for (const std::string& section : section_names())
    for (const std::string& slip : slips(section)) EXPECT_EQ(suggest_section(slip), section) << slip;
  for (const char* far : {"", "optimizer", "x", "parallelism", "tokenizer"}) EXPECT_EQ(suggest_section(far), "") << far;
}

}  // namespace
}  // namespace switchyard
