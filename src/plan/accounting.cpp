#include "plan/accounting.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "config/estimate.hpp"
#include "config/moe_layers.hpp"

namespace switchyard::plan {
namespace {

constexpr std::array part_names{"embedding",      "attention", "norms", "router",        "dense feed-forward",
                                "shared experts", "experts",   "head",  "selection bias"};
constexpr std::size_t selection_bias = 8;

/// Its place in part_names.
std::size_t part_of(Role role) {
  switch (role) {  // no default: a role without a line here is a warning
    case Role::embedding:
      return 0;
    case Role::attention:
      return 1;
    case Role::norm:
      return 2;
    case Role::router:
      return 3;
    case Role::feed_forward:
      return 4;
    case Role::shared_expert:
      return 5;
    case Role::expert:
      return 6;
    case Role::head:
      return 7;
  }
  throw Error(Exit::internal, "a role without a line in part_of");
}

/// "  experts             45,097,156,608    11,274,289,152".
std::string part_line(const std::string& name, const std::string& total, const std::string& active) {
  const auto column = [](const std::string& text) {
    return std::string(text.size() < 18 ? 18 - text.size() : 1, ' ') + text;
  };
  std::string line = name;
  line.resize(24, ' ');
  return line + column(total) + column(active) + "\n";
}

}  // namespace

Accounting count_parameters(const Config& c) {
  Accounting a;
  for (const char* name : part_names) a.parts.push_back({name});
  std::int64_t weights = c.model.tied ? std::int64_t{c.model.vocabulary} * c.model.width : 0;  // the tied head's
  for (const TensorSpec& t : architecture(c)) {
    if (!t.adds_to.empty()) continue;
    const std::int64_t used = used_elements(c, t);
    PartCount& part = a.parts[part_of(t.role)];
    part.total += t.elements(), part.active += used;
    a.total += t.elements(), a.active += used;
    if (t.read_by_product()) weights += used;
  }
  if (c.moe.bias_rule != BiasRule::none) {
    std::int64_t numbers = 0;
    for (const MoeLayer& layer : moe_layers(c)) numbers += layer.experts;
    a.parts[selection_bias].total = a.parts[selection_bias].active = numbers;
    a.total += numbers, a.active += numbers;
  }
  const std::int64_t input = a.parts[part_of(Role::embedding)].active, head = a.parts[part_of(Role::head)].active;
  a.active_without_input = a.active - (c.model.tied ? 0 : input);
  a.active_without_embeddings = a.active - input - head;
  a.product_flop = 2 * weights;
  a.attention_flop = std::int64_t{c.model.blocks} * c.model.context * c.model.heads * (c.query_dim() + c.value_dim());
  return a;
}

std::string accounting_text(const Accounting& a) {
  std::string text = describe_line("parameters", with_commas(a.total) + " in all") +
                     describe_line("active for a token", with_commas(a.active) + " with embedding and head in full") +
                     describe_line("", with_commas(a.active_without_input) + " without the input embedding") +
                     describe_line("", with_commas(a.active_without_embeddings) + " without embedding and head") +
                     part_line("part", "all", "active");
  for (const PartCount& part : a.parts)
    text += part_line("  " + part.name, with_commas(part.total), with_commas(part.active));
  return text +
         describe_line("forward FLOP a token", with_commas(a.flop()) + ", of them " + with_commas(a.attention_flop) +
                                                   " scores and sums of a causal attention");
}

std::string accounting_json(const Accounting& a) {
  nlohmann::ordered_json parts;
  for (const PartCount& part : a.parts) parts[part.name] = {{"total", part.total}, {"active", part.active}};
  const nlohmann::ordered_json json{
      {"parameters",
       {{"total", a.total},
        {"active", a.active},
        {"active_without_input", a.active_without_input},
        {"active_without_embeddings", a.active_without_embeddings}}},
      {"parts", parts},
      {"forward_flop_per_token", {{"products", a.product_flop}, {"attention", a.attention_flop}, {"total", a.flop()}}}};
  return json.dump() + "\n";
}

}  // namespace switchyard::plan
