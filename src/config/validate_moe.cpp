// Rules between the options of the mixture-of-experts layers.
#include <algorithm>
#include <bit>

#include "config/balancing.hpp"
#include "config/moe_layers.hpp"
#include "config/routers.hpp"
#include "config/rules.hpp"

namespace switchyard {
namespace {

std::string text(std::int64_t value) { return std::to_string(value); }

/// Number of experts of each MoE block, each number once; empty where the block list itself is broken.
std::vector<int> expert_counts(const Config& c) {
  std::vector<int> counts;
  if (c.model.blocks > 1024) return {};  // refused by its own rule
  if (!c.moe.experts_per_block.empty() && static_cast<int>(c.moe.experts_per_block.size()) != c.model.blocks) return {};
  for (const MoeLayer& layer : moe_layers(c)) counts.push_back(layer.experts);
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

const char* experts_key(const Config& c) {
  return c.moe.experts_per_block.empty() ? "moe.experts" : "moe.experts_per_block";
}

/// Ranges of single options; returns whether the rules between them can be asked.
bool validate_ranges(const Config& c, Rules& rules) {
  const MoeConfig& m = c.moe;
  bool valid = rules.at_least("moe.experts", m.experts, 0);
  valid &= rules.at_least("moe.top_k", m.top_k, 1);
  valid &= rules.at_least("moe.every", m.every, 1);
  valid &= rules.at_least("moe.first_dense", m.first_dense, 0);
  valid &= rules.at_least("moe.groups", m.groups, 1);
  valid &= rules.at_least("moe.groups_kept", m.groups_kept, 1);
  rules.within("moe.hidden", m.hidden, 1, 1 << 24);
  rules.require(m.hidden_chunks >= 1 && m.hidden_chunks <= max_hidden_chunks &&
                    std::has_single_bit(unsigned(m.hidden_chunks)) && m.hidden % m.hidden_chunks == 0,
                "moe.hidden_chunks",
                "is " + text(m.hidden_chunks) + "; must be a power of two in [1, " + text(max_hidden_chunks) +
                    "] that divides moe.hidden " + text(m.hidden));
  rules.within("moe.shared_experts", m.shared_experts, 0, 1 << 15);
  rules.above_zero("moe.scale", m.scale);
  rules.at_least("moe.router_std", m.router_std, 0.0);
  rules.at_least("moe.router_prior", m.router_prior, 0.0);
  rules.at_least("moe.aux_loss", m.aux_loss, 0.0);
  rules.at_least("moe.importance_loss", m.importance_loss, 0.0);
  rules.at_least("moe.z_loss", m.z_loss, 0.0);
  rules.at_least("moe.bias_rate", m.bias_rate, 0.0);
  rules.at_least("moe.bias_until", m.bias_until, std::int64_t{0});
  rules.at_least("moe.bias_from", m.bias_from, std::int64_t{0});
  rules.require(m.capacity_factor >= 0.0, "moe.capacity_factor",
                "is " + format_value(m.capacity_factor) + "; must be at least 0, and 0 drops nothing");
  rules.require(m.combine_groups >= 1 && m.combine_groups <= max_combine_groups &&
                    std::has_single_bit(unsigned(m.combine_groups)),
                "moe.combine_groups",
                "is " + text(m.combine_groups) + "; must be a power of two in [1, " + text(max_combine_groups) + "]");
  const std::string length = text(static_cast<int>(m.experts_per_block.size()));
  rules.require(
      m.experts_per_block.empty() || length == text(c.model.blocks), "moe.experts_per_block",
      "has " + length + " entries for model.blocks " + text(c.model.blocks) + "; give one number a block, 0 = dense");
  const bool counts = std::all_of(m.experts_per_block.begin(), m.experts_per_block.end(), [](int e) { return e >= 0; });
  rules.require(counts, "moe.experts_per_block", "has a negative entry; 0 makes a block dense");
  rules.require(m.top_k <= 32, "moe.top_k",
                "is " + text(m.top_k) + "; at most 32 choices a token are supported; lower it");
  rules.require(m.groups <= 64, "moe.groups", "is " + text(m.groups) + "; at most 64 groups are supported; lower it");
  rules.require(m.experts <= 32767, "moe.experts",
                "is " + text(m.experts) + "; at most 32767 can be recorded; lower it");
  const bool recorded =
      std::all_of(m.experts_per_block.begin(), m.experts_per_block.end(), [](int e) { return e <= 32767; });
  rules.require(recorded, "moe.experts_per_block", "has an entry above 32767, the most that can be recorded; lower it");
  return valid && counts && m.top_k <= 32 && m.groups <= 64;
}

void validate_groups(const Config& c, int experts, Rules& rules) {
  const MoeConfig& m = c.moe;
  const bool divides = experts % m.groups == 0;
  rules.require(divides, "moe.groups",
                text(m.groups) + " does not divide " + experts_key(c) + " " + text(experts) +
                    " (groups have equally many experts); change one of them");
  const std::int64_t reachable = std::int64_t{experts / m.groups} * m.groups_kept;
  if (divides && m.groups_kept <= m.groups && m.top_k <= experts)
    rules.require(m.top_k <= reachable, "moe.top_k",
                  text(m.top_k) + " is more than the " + text(reachable) + " experts in moe.groups_kept " +
                      text(m.groups_kept) + " of moe.groups " + text(m.groups) + " groups of " + experts_key(c) + " " +
                      text(experts) + "; lower it or keep more groups");
}

void validate_selection(const Config& c, Rules& rules) {
  const MoeConfig& m = c.moe;
  rules.require(m.groups_kept <= m.groups, "moe.groups_kept",
                text(m.groups_kept) + " is more than moe.groups " + text(m.groups) + "; lower it");
  rules.require(m.groups == 1 || m.group_score != GroupScore::share_sum || m.top_k % m.groups_kept == 0,
                "moe.group_score",
                "share_sum sums the best moe.top_k / moe.groups_kept scores of a group, but " + text(m.top_k) + " / " +
                    text(m.groups_kept) + " is not whole; change one of them or use top2_sum");
  for (const int experts : expert_counts(c)) {
    rules.require(m.top_k <= experts, "moe.top_k",
                  text(m.top_k) + " is more than " + experts_key(c) + " " + text(experts) +
                      " (a token chooses different experts); lower it");
    if (m.groups > 1) validate_groups(c, experts, rules);
  }
}

/// "softmax and sigmoid": the routers that choose by scores.
std::string ranked_routers() {
  std::vector<std::string> names;
  for (std::size_t r = 0; r < EnumNames<RouterKind>::names.size(); ++r)
    if (traits_of(static_cast<RouterKind>(r)).ranked) names.push_back(EnumNames<RouterKind>::names[r]);
  return join(names, " and ");
}

/// What each router can be combined with.
void validate_router(const MoeConfig& m, Rules& rules) {
  const std::string router = "moe.router " + format_value(m.router);
  const RouterTraits traits = traits_of(m.router);
  std::vector<std::string> forms;
  for (const Normalise form : traits.normalise) forms.push_back(format_value(form));
  rules.require(traits.allows(m.normalise), "moe.normalise",
                format_value(m.normalise) + " has no meaning with " + router + " (" + traits.why + "); use " +
                    join(forms, " or "));
  rules.require(traits.ranked || m.groups == 1, "moe.groups",
                text(m.groups) + " cannot be combined with " + router +
                    " (groups are chosen by their experts' scores, by the " + ranked_routers() +
                    " routers); set it to 1 or change the router");
  rules.require(traits.ranked || m.bias_rule == BiasRule::none, "moe.bias_rule",
                format_value(m.bias_rule) + " cannot be combined with " + router +
                    " (the selection bias is added to the scores of the " + ranked_routers() + " routers); use none");
  rules.require(traits.ranked || m.router_prior == 0.0, "moe.router_prior",
                format_value(m.router_prior) + " cannot be combined with " + router +
                    " (it is added to the logits of the " + ranked_routers() + " routers); set it to 0");
  if (traits.learned()) return;
  for (const BalancingOption& option : balancing_options())
    rules.require(!option.of_scores || !option.on(m), option.key,
                  option.value(m) + " cannot be combined with " + router +
                      " (it has no scores that a loss could change); set it to " + option.off);
}

/// What a bias rule does not read, and what each of them cannot be combined with.
void validate_bias_form(const MoeConfig& m, Rules& rules) {
  const bool quantile = m.bias_rule == BiasRule::quantile;
  const std::string rule = " with moe.bias_rule " + format_value(m.bias_rule);
  const auto needs = [&](bool holds, const char* key, const std::string& value, const char* why, const char* unset) {
    rules.require(holds, key, "is " + value + rule + " (" + why + "); set it to " + unset);
  };
  const char *no_rate = "a quantile has no rate", *no_histogram = "only a quantile is made of a histogram";
  needs(!quantile || m.bias_unit == BiasUnit::absolute, "moe.bias_unit", format_value(m.bias_unit), no_rate,
        "absolute");
  needs(!quantile || m.bias_schedule == BiasSchedule::constant, "moe.bias_schedule", format_value(m.bias_schedule),
        no_rate, "constant");
  rules.require(m.bias_schedule == BiasSchedule::constant || m.bias_until > 0, "moe.bias_schedule",
                "is " + format_value(m.bias_schedule) +
                    " with moe.bias_until 0 (there is no end from which halfway could be told); set moe.bias_until");
  needs(quantile || m.bias_memory == 0.0, "moe.bias_memory", format_value(m.bias_memory),
        "the other rules step from the bias before", "0");
  needs(quantile || m.bias_range == 1.0, "moe.bias_range", format_value(m.bias_range), no_histogram, "1");
  needs(quantile || m.bias_bins == 1000, "moe.bias_bins", format_value(m.bias_bins), no_histogram, "1000");
  needs(!quantile || m.groups == 1, "moe.groups", text(m.groups), "the cutoff is that of a choice among all experts",
        "1, or use centred_sign");
}

/// The selection bias: options that would be read and do nothing.
void validate_bias(const Config& c, Rules& rules) {
  const MoeConfig& m = c.moe;
  const bool quantile = m.bias_rule == BiasRule::quantile;
  rules.require(m.bias_rule == BiasRule::none || quantile || m.bias_rate != 0.0, "moe.bias_rate",
                "is 0 with moe.bias_rule " + format_value(m.bias_rule) +
                    " (the selection bias would never move); raise it, or set moe.bias_rule to none");
  for (const auto& [key, value] : {std::pair{"moe.bias_until", m.bias_until}, {"moe.bias_from", m.bias_from}})
    rules.require(m.bias_rule != BiasRule::none || value <= 0, key,
                  "is " + format_value(value) +
                      " with moe.bias_rule none (there is no selection bias to freeze); set it to 0, or choose a rule");
  rules.require(m.bias_until <= 0 || m.bias_from < m.bias_until, "moe.bias_from",
                text(m.bias_from) + " is not before moe.bias_until " + text(m.bias_until) +
                    " (the selection bias would never move); lower it");
  rules.require(m.bias_rule == BiasRule::none || m.bias_from < c.train.steps, "moe.bias_from",
                text(m.bias_from) + " is not before train.steps " + text(c.train.steps) +
                    " (no step would be trained with a selection bias); lower it");
  rules.within("moe.bias_bins", m.bias_bins, 16, 1024);
  rules.require(m.bias_range >= 1e-6 && m.bias_range <= 1.0, "moe.bias_range",
                "is " + format_value(m.bias_range) + "; must be in [1e-06, 1] (scores are in [0, 1])");
  rules.require(m.bias_memory >= 0.0 && m.bias_memory < 1.0, "moe.bias_memory",
                "is " + format_value(m.bias_memory) + "; must be in [0, 1)");
  validate_bias_form(m, rules);
  for (const int experts : expert_counts(c))
    rules.require(!quantile || experts == 1 || m.top_k < experts, "moe.bias_rule",
                  "quantile with moe.top_k " + text(m.top_k) + " of " + text(experts) +
                      " experts (a token that chooses all refuses none); use none");
}

}  // namespace

void validate_moe(const Config& config, Rules& rules) {
  if (!validate_ranges(config, rules)) return;
  const std::vector<int> counts = expert_counts(config);
  if (counts.empty()) return;
  validate_selection(config, rules);
  validate_router(config.moe, rules);
  validate_bias(config, rules);
  rules.require(!config.moe.shared_gate || config.moe.shared_experts != 0, "moe.shared_gate",
                "is true with moe.shared_experts 0 (there is nothing that it could scale); set it to false");
  rules.require(config.moe.importance_loss == 0.0 || config.moe.importance_form != ImportanceForm::cv2 || counts[0] > 1,
                "moe.importance_loss",
                format_value(config.moe.importance_loss) +
                    " with moe.importance_form cv2 needs more than one expert, " + experts_key(config) +
                    " is 1 (there is no variation over one expert); set it to 0");
}

}  // namespace switchyard
