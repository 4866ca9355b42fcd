// The list of keys, and what a misspelled one was meant to be.
#include "config/options.hpp"

#include <algorithm>
#include <map>

namespace switchyard {
namespace {

/// Names that other programs use.
const std::map<std::string, std::string>& foreign_names() {
  static const std::map<std::string, std::string> names{
      {"d_model", "model.width"},
      {"hidden_size", "model.width"},
      {"dim", "model.width"},
      {"n_embd", "model.width"},
      {"layer", "model.blocks"},
      {"layers", "model.blocks"},
      {"depth", "model.blocks"},
      {"hidden_layers", "model.blocks"},
      {"num_layers", "model.blocks"},
      {"attention_heads", "model.heads"},
      {"key_value_heads", "model.kv_heads"},
      {"query_groups", "model.kv_heads"},
      {"kv_channels", "model.head_dim"},
      {"qk_nope_head_dim", "model.head_dim"},
      {"qk_rope_head_dim", "model.rope_dim"},
      {"v_head_dim", "model.value_dim"},
      {"q_lora_rank", "model.query_rank"},
      {"kv_lora_rank", "model.kv_rank"},
      {"qk_layernorm", "model.query_key_norm"},
      {"qkv_bias", "model.attention_bias"},
      {"vocab_size", "model.vocabulary"},
      {"vocab", "model.vocabulary"},
      {"seq_len", "model.context"},
      {"seq_length", "model.context"},
      {"sequence_length", "model.context"},
      {"context_length", "model.context"},
      {"block_size", "model.context"},
      {"ffn_hidden_size", "model.hidden"},
      {"intermediate_size", "model.hidden"},
      {"d_ff", "model.hidden"},
      {"rope_theta", "model.rope_base"},
      {"rms_norm_eps", "model.norm_epsilon"},
      {"tie_word_embeddings", "model.tied"},
      {"initializer_range", "model.init_std"},
      {"experts_per_tok", "moe.top_k"},
      {"k", "moe.top_k"},
      {"topk", "moe.top_k"},
      {"local_experts", "moe.experts"},
      {"routed_experts", "moe.experts"},
      {"moe_intermediate_size", "moe.hidden"},
      {"frequency", "moe.every"},
      {"first_k_dense_replace", "moe.first_dense"},
      {"normalize", "moe.normalise"},
      {"norm_topk_prob", "moe.normalise"},
      {"routed_scaling_factor", "moe.scale"},
      {"group", "moe.groups"},
      {"topk_group", "moe.groups_kept"},
      {"aux_loss_coef", "moe.aux_loss"},
      {"router_aux_loss_coef", "moe.aux_loss"},
      {"capacity", "moe.capacity_factor"},
      {"dataset", "data.path"},
      {"lr", "train.learning_rate"},
      {"min_lr", "train.min_learning_rate"},
      {"iterations", "train.steps"},
      {"iters", "train.steps"},
      {"max_iters", "train.steps"},
      {"max_steps", "train.steps"},
      {"batch_size", "train.batch"},
      {"global_batch_size", "train.batch"},
      {"warmup_iters", "train.warmup"},
      {"warmup_steps", "train.warmup"},
      {"grad_clip", "train.clip"},
      {"clip_grad", "train.clip"},
      {"decay", "train.weight_decay"},
      {"eps", "train.epsilon"},
      {"eval_interval", "train.evaluate_every"},
      {"eval_every", "train.evaluate_every"},
      {"save_interval", "train.checkpoint_every"},
      {"time_limit", "train.max_time"},
      {"ep", "layout.expert_parallel"},
      {"expert_parallel_size", "layout.expert_parallel"},
      {"etp", "layout.expert_tensor_parallel"},
      {"expert_tensor_parallel_size", "layout.expert_tensor_parallel"},
      {"num_threads", "layout.threads"},
      {"log_interval", "record.log_every"},
  };
  return names;
}

std::string section_of(const std::string& key) {
  const auto dot = key.find('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

std::string leaf_of(const std::string& key) { return key.substr(key.find('.') + 1); }

/// Without the "n_" or "num_" that many programs put before a count.
std::string bare_count(const std::string& leaf) {
  for (const std::string prefix : {"n_", "num_", "number_of_"})
    if (leaf.starts_with(prefix)) return leaf.substr(prefix.size());
  return leaf;
}

/// Edits allowed for a word of this length.
int tolerance(const std::string& word) { return std::max<int>(1, static_cast<int>(word.size()) / 3); }

}  // namespace

const std::vector<std::string>& option_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> all;
    const Config config;
    visit_values(config, [&](const std::string& key, const auto&) { all.push_back(key); });
    return all;
  }();
  return keys;
}

const std::vector<std::string>& section_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const std::string& key : option_keys())
      if (all.empty() || all.back() != section_of(key)) all.push_back(section_of(key));
    return all;
  }();
  return names;
}

int edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i)
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = static_cast<int>(i + j);
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

std::string suggest_key(const std::string& key) {
  const std::string leaf = leaf_of(key), bare = bare_count(leaf), section = section_of(key);
  std::string best;
  int best_score = 1 << 30;
  for (const std::string& known : option_keys()) {
    const std::string known_leaf = leaf_of(known);
    const int edits = std::min(edit_distance(leaf, known_leaf), edit_distance(bare, known_leaf));
    // The same name in another section is likelier than another name in this one, but not by much.
    const int score = 2 * edits + (section == section_of(known) ? 0 : 1);
    if (edits <= tolerance(known_leaf) && score < best_score) {
      best = known;
      best_score = score;
    }
  }
  if (best_score <= 1) return best;
  for (const std::string& name : {leaf, bare})
    if (const auto it = foreign_names().find(name); it != foreign_names().end()) return it->second;
  return best;
}

std::string suggest_section(const std::string& name) {
  std::string best;
  int best_edits = 1 << 30;
  for (const std::string& known : section_names())
    if (const int edits = edit_distance(name, known); edits <= std::max(1, tolerance(known)) && edits < best_edits) {
      best = known;
      best_edits = edits;
    }
  return best;
}

}  // namespace switchyard
