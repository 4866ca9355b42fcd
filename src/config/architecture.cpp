#include "config/architecture.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "base/check.hpp"
#include "config/routers.hpp"

namespace switchyard {
namespace {

using Shape = std::vector<std::int64_t>;

/// What the tensors of one part have in common.
struct Part {
  std::string prefix;
  int block;
  Role role;
};

TensorSpec matrix(const Part& part, const char* name, Shape shape, double init_std) {
  TensorSpec t;
  t.name = part.prefix + name + ".weight";
  t.shape = std::move(shape);
  t.block = part.block;
  t.role = part.role;
  t.init_std = init_std;
  return t;
}

TensorSpec norm(const Part& part, const char* name, std::int64_t width) {
  TensorSpec t = matrix({part.prefix, part.block, Role::norm}, name, {width}, 0.0);
  t.init = Init::ones;
  t.decay = false;
  return t;
}

/// Of the rows that pass through the residual stream.
TensorSpec norm(const Config& c, const std::string& name, int block) {
  return norm({"", block, Role::norm}, name.c_str(), c.model.width);
}

/// Begins at 0.
TensorSpec bias(const Part& part, const char* name, std::int64_t width) {
  TensorSpec t = matrix(part, "", {width}, 0.0);
  t.name = part.prefix + name + ".bias";
  t.decay = false;
  return t;
}

void append(std::vector<TensorSpec> more, std::vector<TensorSpec>& all) {
  all.insert(all.end(), std::move_iterator(more.begin()), std::move_iterator(more.end()));
}

/// Of the projections that write into the residual stream: less, the more of them there are (Radford et al. 2019).
double output_std(const Config& c) { return c.model.init_std / std::sqrt(2.0 * c.model.blocks); }

/// Gate where the activation has one, up, down; `experts` of them, in chunks, or one without that axis where it is 0.
void add_network(const Config& c, const Part& part, std::int64_t hidden, std::int64_t experts,
                 std::vector<TensorSpec>& all) {
  const std::int64_t d = c.model.width;
  const int chunks = experts > 0 ? c.moe.hidden_chunks : 1;
  const auto add = [&](const char* name, Shape shape, double init_std) {
    if (experts > 0) shape.insert(shape.begin(), experts * chunks);
    all.push_back(matrix(part, name, std::move(shape), init_std));
    if (experts > 0) all.back().placement = Placement::expert;
    all.back().chunks = chunks;
  };
  hidden /= chunks;
  if (c.model.activation == Activation::swiglu) add("gate", {hidden, d}, c.model.init_std);
  add("up", {hidden, d}, c.model.init_std);
  add("down", {d, hidden}, output_std(c));
  all.back().chunks_of_input = true;
}

std::vector<TensorSpec> grouped_tensors(const Config& c, const Part& part) {
  const std::int64_t d = c.model.width, head = c.head_dim(), q = c.model.heads * head, kv = c.kv_heads() * head;
  std::vector<TensorSpec> all{matrix(part, "q", {q, d}, c.model.init_std), matrix(part, "k", {kv, d}, c.model.init_std),
                              matrix(part, "v", {kv, d}, c.model.init_std), matrix(part, "o", {d, q}, output_std(c))};
  if (c.model.attention_bias) append({bias(part, "q", q), bias(part, "k", kv), bias(part, "v", kv)}, all);
  switch (c.model.query_key_norm) {
    case QueryKeyNorm::none:
      break;
    case QueryKeyNorm::head:
      append({norm(part, "q_norm", head), norm(part, "k_norm", head)}, all);
      break;
    case QueryKeyNorm::all:
      append({norm(part, "q_norm", q), norm(part, "k_norm", kv)}, all);
      break;
  }
  return all;
}

/// DeepSeek-V2 (arXiv 2405.04434, section 2.1): a token's keys and values are made from one row of kv_rank channels,
/// which has a norm, and from one key of rope_dim channels for all heads; queries likewise where query_rank is not 0.
std::vector<TensorSpec> latent_tensors(const Config& c, const Part& part) {
  const std::int64_t d = c.model.width, heads = c.model.heads, kv = c.model.kv_rank;
  const std::int64_t narrow = c.model.query_rank, q = heads * c.query_dim();
  std::vector<TensorSpec> all;
  if (narrow > 0)
    append({matrix(part, "q_a", {narrow, d}, c.model.init_std), norm(part, "q_a_norm", narrow),
            matrix(part, "q_b", {q, narrow}, c.model.init_std)},
           all);
  else
    append({matrix(part, "q", {q, d}, c.model.init_std)}, all);
  append({matrix(part, "kv_a", {kv + c.model.rope_dim, d}, c.model.init_std), norm(part, "kv_a_norm", kv),
          matrix(part, "kv_b", {heads * (c.head_dim() + c.value_dim()), kv}, c.model.init_std),
          matrix(part, "o", {d, heads * c.value_dim()}, output_std(c))},
         all);
  return all;
}

std::vector<TensorSpec> attention_tensors(const Config& c, const Part& part) {
  switch (c.model.attention) {  // no default: an attention without a line here is a warning
    case AttentionKind::grouped:
      return grouped_tensors(c, part);
    case AttentionKind::latent:
      return latent_tensors(c, part);
  }
  throw Error(Exit::internal, "an attention without a line in attention_tensors");
}

void add_mixture(const Config& c, const std::string& prefix, int block, std::vector<TensorSpec>& all) {
  const std::int64_t experts = c.block_experts(block);
  const double router_std = c.moe.router_std > 0.0 ? c.moe.router_std : c.model.init_std;
  for (const std::string& name : traits_of(c.moe.router).tensors)
    all.push_back(matrix({prefix, block, Role::router}, name.c_str(), {experts, c.model.width}, router_std));
  add_network(c, {prefix + "experts.", block, Role::expert}, c.moe.hidden, experts, all);
  if (c.moe.shared_experts == 0) return;
  const std::int64_t hidden = std::int64_t{c.moe.shared_experts} * c.moe.hidden;
  add_network(c, {prefix + "shared.", block, Role::shared_expert}, hidden, 0, all);
  if (c.moe.shared_gate)
    all.push_back(matrix({prefix, block, Role::router}, "shared_gate", {1, c.model.width}, c.model.init_std));
}

std::vector<TensorSpec> before_blocks(const Config& c) {
  TensorSpec t = matrix({"", -1, Role::embedding}, "embedding", {c.model.vocabulary, c.model.width}, c.model.init_std);
  t.decay = false;
  std::vector<TensorSpec> all{t};
  if (!c.model.tied) return all;
  // The two sources of a tied embedding's gradient are reduced apart: adding them on a rank would make the order of
  // additions depend on the layout.
  t.adds_to = t.name;
  t.name = "embedding.gather";
  all.push_back(std::move(t));
  return all;
}

std::vector<TensorSpec> after_blocks(const Config& c) {
  std::vector<TensorSpec> all{norm(c, "final_norm", c.model.blocks)};
  if (!c.model.tied)
    all.push_back(
        matrix({"", c.model.blocks, Role::head}, "head", {c.model.vocabulary, c.model.width}, c.model.init_std));
  return all;
}

}  // namespace

std::int64_t TensorSpec::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<TensorSpec> block_architecture(const Config& c, int b) {
  const std::string prefix = "blocks." + std::to_string(b) + ".";
  std::vector<TensorSpec> all{norm(c, prefix + "attention_norm", b)};
  append(attention_tensors(c, {prefix + "attention.", b, Role::attention}), all);
  all.push_back(norm(c, prefix + "feed_forward_norm", b));
  if (c.block_experts(b) > 0)
    add_mixture(c, prefix + "moe.", b, all);
  else
    add_network(c, {prefix + "feed_forward.", b, Role::feed_forward}, c.model.hidden, 0, all);
  return all;
}

std::vector<TensorSpec> architecture(const Config& c) {
  std::vector<TensorSpec> all = before_blocks(c);
  for (int b = 0; b < c.model.blocks; ++b) append(block_architecture(c, b), all);
  append(after_blocks(c), all);
  for (TensorSpec& t : all) t.frozen = std::ranges::find(c.train.frozen, t.role) != c.train.frozen.end();
  return all;
}

std::vector<std::int64_t> held_units(const TensorSpec& tensor, const Layout& layout, int place) {
  if (tensor.placement == Placement::replicated) return {0};
  const Range seats = layout.experts_of(place, tensor.experts()), chunks = layout.chunks_of(place, tensor.chunks);
  std::vector<std::int64_t> units;
  for (std::int64_t seat = seats.first; seat < seats.last; ++seat)
    for (std::int64_t c = chunks.first; c < chunks.last; ++c)
      units.push_back(std::int64_t{layout.expert_at(tensor.block, seat)} * tensor.chunks + c);
  return units;
}

int place_of_unit(const TensorSpec& tensor, const Layout& layout, std::int64_t unit) {
  const int first = layout.place_of_expert(tensor.block, static_cast<int>(unit / tensor.chunks), tensor.experts());
  return first + static_cast<int>(unit % tensor.chunks * layout.expert_tensor_parallel / tensor.chunks);
}

std::vector<Range> gradient_buckets(const Config& c) {
  std::vector<std::int64_t> elements(c.model.blocks + 2, 0);  // of block −1, 0, …
  for (const TensorSpec& t : architecture(c)) elements[t.block + 1] += t.elements();
  std::vector<Range> buckets;
  std::int64_t held = bucket_elements;
  for (std::int64_t b = c.model.blocks; b >= -1; --b) {
    if (held >= bucket_elements) buckets.push_back({b + 1, b + 1}), held = 0;
    buckets.back().first = b;
    held += elements[b + 1];
  }
  return buckets;
}

}  // namespace switchyard
