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

nn::Linear linear_of(const AttentionContext& context, const char* name) {
  return {context.parameters, "blocks." + std::to_string(context.block) + ".attention." + name + ".weight"};
}

std::unique_ptr<Attention> make_attention(const AttentionContext& context) {
  return makers_of(context.config.model.attention).attention(context);
}

std::unique_ptr<AttentionScratch> make_attention_scratch(Arena& arena, const Config& config) {
  return makers_of(config.model.attention).scratch(arena, config);
}

}  // namespace switchyard::model
