#include "model/attention/attention.hpp"

#include <string>

#include "base/check.hpp"

namespace switchyard::model {
namespace {

AttentionMakers makers_of(AttentionKind kind) {
  switch (kind) {
    case AttentionKind::grouped:
      return grouped_attention();
    case AttentionKind::latent:  // refused by validate_trained
      break;
  }
  throw Error(Exit::internal, "an attention without a line in makers_of");
}

}  // namespace

nn::Linear linear_of(const AttentionContext& context, const std::vector<const char*>& names) {
  std::vector<std::string> all;
  for (const char* name : names)
    all.push_back("blocks." + std::to_string(context.block) + ".attention." + name + ".weight");
  return {context.parameters, all};
}

std::unique_ptr<Attention> make_attention(const AttentionContext& context) {
  return makers_of(context.config.model.attention).attention(context);
}

std::unique_ptr<AttentionScratch> make_attention_scratch(Arena& arena, const Config& config) {
  return makers_of(config.model.attention).scratch(arena, config);
}

}  // namespace switchyard::model
