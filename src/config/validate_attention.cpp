// Rules between the options of the attention, and about those parts of a model that are counted but not trained yet.
#include <utility>

#include "config/rules.hpp"

namespace switchyard {
namespace {

std::string text(std::int64_t value) { return std::to_string(value); }

/// How wide heads are; `width_and_heads`: both are good by themselves.
void validate_head_width(const Config& c, bool width_and_heads, Rules& rules) {
  const ModelConfig& m = c.model;
  if (!rules.within("model.head_dim", m.head_dim, 0, 1 << 20)) return;
  const bool turned = m.attention == AttentionKind::grouped;  // of a latent head another part has positions
  if (m.head_dim != 0)
    return rules.require(
        !turned || m.head_dim % 2 == 0, "model.head_dim",
        "is " + text(m.head_dim) + ", an odd number (rotary positions turn pairs of channels); change it");
  if (!width_and_heads) return;
  rules.require(m.width % m.heads == 0, "model.heads",
                text(m.heads) + " does not divide model.width " + text(m.width) +
                    " (every head has model.width / model.heads channels); change one of them");
  rules.require(!turned || m.width % m.heads != 0 || c.head_dim() % 2 == 0, "model.heads",
                "a head has model.width / model.heads = " + text(c.head_dim()) +
                    " channels, an odd number (rotary positions turn pairs of channels); change one of them");
}

/// A row that is not there, or that another kind of attention has.
void validate_latent(const ModelConfig& m, Rules& rules) {
  const bool latent = m.attention == AttentionKind::latent;
  for (const auto& [key, value] : {std::pair("model.query_rank", m.query_rank), std::pair("model.kv_rank", m.kv_rank),
                                   std::pair("model.rope_dim", m.rope_dim), std::pair("model.value_dim", m.value_dim)})
    if (rules.within(key, value, 0, 1 << 20))
      rules.require(latent || value == 0, key,
                    "is " + text(value) + " with model.attention grouped (only latent has it); set it to 0");
  if (!latent) return;
  rules.require(m.kv_rank != 0, "model.kv_rank",
                "is 0 with model.attention latent (keys and values are made from that row); give its channels");
  rules.require(m.rope_dim % 2 == 0, "model.rope_dim",
                "is " + text(m.rope_dim) + ", an odd number (rotary positions turn pairs of channels); change it");
  rules.require(m.kv_heads == 0 || m.kv_heads == m.heads, "model.kv_heads",
                text(m.kv_heads) + " with model.attention latent is not model.heads " + text(m.heads) +
                    " (every query head has keys and values of its own); set it to 0");
  rules.require(m.query_key_norm == QueryKeyNorm::none, "model.query_key_norm",
                format_value(m.query_key_norm) +
                    " has no meaning with model.attention latent (the rows that it is made of have norms); use none");
  rules.require(!m.attention_bias, "model.attention_bias",
                "true has no meaning with model.attention latent (its projections have none); set it to false");
}

}  // namespace

void validate_attention(const Config& c, Rules& rules) {
  const ModelConfig& m = c.model;
  const bool width = m.width >= 1 && m.width <= 1 << 20, heads = rules.at_least("model.heads", m.heads, 1);
  const bool kv_heads = rules.at_least("model.kv_heads", m.kv_heads, 0);
  validate_head_width(c, width && heads, rules);
  validate_latent(m, rules);
  if (heads && kv_heads && m.attention == AttentionKind::grouped)
    rules.require(m.heads % c.kv_heads() == 0, "model.kv_heads",
                  text(m.kv_heads) + " does not divide model.heads " + text(m.heads) +
                      " (equally many query heads share a key and value head); change one of them");
}

void validate_trained(const Config& c, Rules& rules) {
  const ModelConfig& m = c.model;
  const auto refuse = [&](bool refused, const std::string& key, const std::string& value, const std::string& use) {
    rules.require(!refused, key,
                  value + " is not available in train yet (`switchyard plan --parameters` counts it); " + use);
  };
  refuse(m.attention != AttentionKind::grouped, "model.attention", format_value(m.attention), "use grouped");
  const bool given = m.attention == AttentionKind::grouped && m.head_dim > 0;
  refuse(given && std::int64_t{m.heads} * m.head_dim != m.width, "model.head_dim",
         text(m.head_dim) + " with model.heads " + text(m.heads) + " and model.width " + text(m.width),
         "set it to 0, which means model.width / model.heads");
  refuse(m.query_key_norm != QueryKeyNorm::none, "model.query_key_norm", format_value(m.query_key_norm), "use none");
  refuse(m.attention_bias, "model.attention_bias", "true", "set it to false");
  refuse(c.moe.shared_gate, "moe.shared_gate", "true", "set it to false");
}

}  // namespace switchyard
