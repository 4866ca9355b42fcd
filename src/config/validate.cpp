// Rules between options: model, training, record, layout. Each names the options it is about in full, so that a rule
// about an option that could not be read is left out.
#include <algorithm>
#include <bit>
#include <functional>

#include "base/checked.hpp"
#include "config/estimate.hpp"
#include "config/lane_choice.hpp"
#include "config/options.hpp"
#include "config/rules.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

std::string text(std::int64_t value) { return std::to_string(value); }

void validate_model(const Config& c, Rules& rules) {
  const ModelConfig& m = c.model;
  rules.within("model.vocabulary", m.vocabulary, 0, 1 << 24);
  rules.within("model.width", m.width, 1, 1 << 20);
  rules.within("model.blocks", m.blocks, 1, 1024);
  rules.at_least("model.context", m.context, 1);
  rules.within("model.hidden", m.hidden, 1, 1 << 24);
  validate_attention(c, rules);
  rules.require(m.rope_base > 1.0, "model.rope_base", "is " + format_value(m.rope_base) + "; must be above 1");
  rules.above_zero("model.norm_epsilon", m.norm_epsilon);
  rules.above_zero("model.init_std", m.init_std);
  rules.at_least("model.z_loss", m.z_loss, 0.0);
}

void validate_batch(const Config& c, Rules& rules) {
  const bool batch = rules.at_least("train.batch", c.train.batch, 1);
  const bool grains = rules.at_least("train.grains", c.train.grains, 1);
  if (!batch || !grains) return;
  rules.require(c.train.batch % c.train.grains == 0, "train.grains",
                text(c.train.grains) + " does not divide train.batch " + text(c.train.batch) +
                    " (a grain is a fixed number of whole sequences); change one of them");
  const Checked tokens = Checked(c.train.batch) * c.model.context, choices = tokens * std::max(1, c.moe.top_k);
  rules.require(choices < Checked(std::int64_t{1} << 31), "train.batch",
                "train.batch * model.context * moe.top_k = " + to_string(choices) +
                    " rows in a step (rows are numbered in 31 bits); make the batch smaller");
  if (choices >= Checked(std::int64_t{1} << 31)) return;
  rules.require(tokens * c.train.steps <= Checked(std::int64_t{1} << 62), "train.steps",
                text(c.train.steps) + " steps of train.batch * model.context = " + to_string(tokens) +
                    " tokens are more than 2^62 (they are counted in 64 bits); lower it");
  if (c.train.evaluate_every > 0)
    rules.require(c.train.evaluate_tokens >= c.step_tokens(), "train.evaluate_tokens",
                  text(c.train.evaluate_tokens) +
                      " is less than one batch, train.batch * model.context = " + text(c.step_tokens()) +
                      " tokens (held-out tokens are read in whole batches); raise it, or set "
                      "train.evaluate_every to 0");
}

/// Sizes whose factors are each allowed. What is limited is what is reckoned with, filling included; what is said is
/// what people count. The terms of a step are no smaller than what a pass takes of its arena (train/memory.hpp).
void validate_size(const Config& c, Rules& rules) {
  rules.require(checked_slab_elements(c) <= Checked(std::int64_t{1} << 48), "model.width",
                "the model has " + to_string(checked_parameters(c)) + " parameters" +
                    (c.model.vocabulary > 0 ? "" : " without its embedding") +
                    " (at most 2^48 are computed with); make model.* or moe.* smaller");
  const Checked width = c.model.width, hidden = c.model.hidden, expert = c.moe.hidden, shared = c.moe.shared_experts;
  int max_experts = c.moe.experts;
  for (const int experts : c.moe.experts_per_block) max_experts = std::max(max_experts, experts);
  const Checked heads = c.model.heads, widest = std::max(width, heads * std::max(c.query_dim(), c.value_dim()));
  const Checked row = widest * 16 * (Checked(c.moe.top_k) + 1) + hidden * 8 + (shared + c.moe.top_k) * expert * 8 +
                      Checked(max_experts) * 32 + Checked(c.record.margin_bins) * 8;
  const Checked threads = Checked(c.layout.threads) * c.model.context * (widest * 8 + 64);  // attention's panels
  const Checked work = row * c.model.blocks * c.train.batch * c.model.context + threads;
  rules.require(work <= Checked(std::int64_t{1} << 58), "train.batch",
                "a step could keep " + to_string(work) +
                    " numbers (at most 2^58 are computed with); make train.batch, model.* or moe.* smaller");
}

void validate_optimization(const TrainConfig& t, Rules& rules) {
  const bool steps = rules.at_least("train.steps", t.steps, std::int64_t{1});
  if (rules.at_least("train.warmup", t.warmup, std::int64_t{0}) && steps)
    rules.require(t.warmup <= t.steps, "train.warmup",
                  text(t.warmup) + " is more than train.steps " + text(t.steps) +
                      " (the peak learning rate would never be reached); lower it, 0 means no warm-up");
  if (rules.above_zero("train.learning_rate", t.learning_rate) &&
      rules.at_least("train.min_learning_rate", t.min_learning_rate, 0.0) && t.schedule != Schedule::constant)
    rules.require(t.min_learning_rate <= t.learning_rate, "train.min_learning_rate",
                  format_value(t.min_learning_rate) + " is above train.learning_rate " + format_value(t.learning_rate) +
                      " (a decaying schedule ends there); lower it");
  rules.at_least("train.router_rate", t.router_rate, 0.0);
  rules.at_least("train.router_warmup", t.router_warmup, std::int64_t{0});
  rules.require(t.decay_share > 0.0 && t.decay_share <= 1.0, "train.decay_share",
                "is " + format_value(t.decay_share) + "; must be above 0 and at most 1");
  for (const auto& [key, beta] : {std::pair("train.beta1", t.beta1), std::pair("train.beta2", t.beta2)})
    rules.require(beta >= 0.0 && beta < 1.0, key, "is " + format_value(beta) + "; must be in [0, 1)");
  rules.above_zero("train.epsilon", t.epsilon);
  rules.at_least("train.weight_decay", t.weight_decay, 0.0);
  rules.at_least("train.clip", t.clip, 0.0);
  rules.at_least("train.max_time", t.max_time, 0.0);
}

void validate_intervals(const Config& c, Rules& rules) {
  const std::int64_t none = 0, one = 1;
  rules.at_least("train.evaluate_every", c.train.evaluate_every, none);
  rules.at_least("train.keep", c.train.keep, 1);
  rules.at_least("record.sample_every", c.record.sample_every, none);
  rules.at_least("record.timeline_every", c.record.timeline_every, none);
  rules.at_least("record.log_every", c.record.log_every, one);
  rules.require(c.record.margin_bins >= 1 && c.record.margin_bins <= 4096, "record.margin_bins",
                "is " + text(c.record.margin_bins) + "; must be in [1, 4096]");
  const bool flush = rules.at_least("record.flush_every", c.record.flush_every, one);
  if (rules.at_least("train.checkpoint_every", c.train.checkpoint_every, none) && flush)
    rules.require(c.train.checkpoint_every % c.record.flush_every == 0, "record.flush_every",
                  text(c.record.flush_every) + " does not divide train.checkpoint_every " +
                      text(c.train.checkpoint_every) +
                      " (a checkpoint must not leave a part-filled chunk of rows); change one of them");
}

void validate_layout(const LayoutConfig& layout, int ranks, Rules& rules) {
  rules.require(layout.threads >= 1 && layout.threads <= 1024, "layout.threads",
                "is " + text(layout.threads) + "; must be in [1, 1024]");
  rules.at_least("layout.poll", layout.poll, 0.0);
  rules.require(
      layout.lanes == 0 ||
          (layout.lanes >= 1 && layout.lanes <= max_lanes && std::has_single_bit(unsigned(layout.lanes))),
      "layout.lanes",
      "is " + text(layout.lanes) + "; must be a power of two in [1, " + text(max_lanes) + "], or 0 to be measured");
  rules.at_least("layout.timeout", layout.timeout, 0.0);
  rules.require(layout.delay >= 0.0 && layout.delay <= 1e6, "layout.delay",
                "is " + format_value(layout.delay) + "; must be in [0, 1e6]");
  rules.at_least("layout.ranks_per_node", layout.ranks_per_node, 0);
  rules.require(!layout.placement.empty(), "layout.placement",
                "is empty; must be contiguous, or the path of a file that `yardstick placement` wrote");
  rules.require(layout.zero == 0 || layout.zero == 1, "layout.zero",
                "is " + text(layout.zero) +
                    "; must be 0 or 1 (of the stages of ZeRO the one that shards the state of the optimizer)");
  if (!rules.at_least("layout.expert_parallel", layout.expert_parallel, 0) || ranks < 1) return;
  rules.require(
      layout.expert_parallel == 0 || ranks % layout.expert_parallel == 0, "layout.expert_parallel",
      text(layout.expert_parallel) + " does not divide the " + text(ranks) + (ranks == 1 ? " rank" : " ranks") +
          " (ranks form expert-parallel groups of equal size); change one of them, or set it to 0 for all ranks");
  const int group = layout.expert_parallel ? layout.expert_parallel : ranks, near = layout.ranks_per_node;
  if (!layout.by_nodes() || near < 1) return;
  rules.require(near >= ranks || std::max(near, group) % std::min(near, group) == 0, "layout.ranks_per_node",
                text(near) + " cuts expert-parallel groups of " + text(group) +
                    " ranks into unequal parts, which layout.exchange " + format_value(layout.exchange) +
                    " cannot use; change one of them, or set layout.exchange to pairwise");
}

/// Ranks that share experts, which layout.expert_parallel counts too.
void validate_teams(const Config& c, int ranks, Rules& rules) {
  const std::string key = "layout.expert_tensor_parallel";
  const int team = c.layout.expert_tensor_parallel, near = c.layout.ranks_per_node;
  if (!rules.at_least(key, team, 1)) return;
  rules.require(c.moe.hidden_chunks % team == 0, key,
                text(team) + " does not divide moe.hidden_chunks " + text(c.moe.hidden_chunks) +
                    " (a rank has whole chunks of an expert's hidden width); change one of them");
  rules.require(c.layout.exchange != ExchangeKind::gather || team <= 1, key,
                text(team) +
                    " cannot be combined with layout.exchange gather (which sends a token to one rank of each "
                    "expert); set it to 1 or change the exchange");
  const int group = c.layout.expert_parallel ? c.layout.expert_parallel : ranks;
  if (ranks < 1 || group < 1) return;
  rules.require(group % team == 0, key,
                text(team) + " does not divide the " + text(group) +
                    " ranks of an expert-parallel group (layout.expert_parallel counts all of them, also those that "
                    "share an expert); change one of them");
  if (c.layout.exchange == ExchangeKind::node && near > 0 && near < group)
    rules.require(near % team == 0, key,
                  text(team) + " does not divide layout.ranks_per_node " + text(near) +
                      " (with layout.exchange node an expert stays on one node); change one of them");
}

void validate_determinism(const Config& c, Rules& rules) {
  rules.require(c.layout.lanes != 0 || c.train.determinism == Determinism::layout, "layout.lanes",
                "is 0 with train.determinism run (whose bits are those of one number of lanes, not of what is measured "
                "to be fastest); set it to a power of two, or train.determinism to layout");
}

void validate_local_first(const Config& c, Rules& rules) {
  rules.require(
      !c.layout.local_first || c.train.determinism == Determinism::layout, "layout.local_first",
      "cannot be combined with train.determinism run (a gradient is one chain over all rows of an expert there, "
      "so that they must lie together); set it to false, or train.determinism to layout");
}

void validate_recompute(const Config& c, Rules& rules) {
  const std::vector<int>& chosen = c.layout.recompute_blocks;
  const std::string key = "layout.recompute_blocks";
  rules.require(chosen.empty() || c.layout.recompute != Recompute::none, key,
                "names blocks with layout.recompute none (nothing is made again); set layout.recompute to experts or "
                "blocks, or leave the list empty");
  for (const int block : chosen)
    rules.require(block >= 0 && block < c.model.blocks, key,
                  "has " + text(block) + ", but blocks are 0 to " + text(c.model.blocks - 1) +
                      " (model.blocks counts them); leave it out");
  rules.require(std::adjacent_find(chosen.begin(), chosen.end(), std::greater_equal<>()) == chosen.end(), key,
                "is " + format_value(chosen) + "; must name each block once, in ascending order");
}

/// Checkpoints that stay.
void validate_kept(const Config& c, Rules& rules) {
  const std::vector<int>& kept = c.train.keep_steps;
  const std::string key = "train.keep_steps";
  rules.require(std::adjacent_find(kept.begin(), kept.end(), std::greater_equal<>()) == kept.end(), key,
                "is " + format_value(kept) + "; must name each step once, in ascending order");
  for (const int step : kept)
    if (rules.at_least(key, step, 1) && c.record.flush_every > 0)
      rules.require(step % c.record.flush_every == 0, key,
                    "has " + text(step) + ", which record.flush_every " + text(c.record.flush_every) +
                        " does not divide (a checkpoint must not leave a part-filled chunk of rows); change one of "
                        "them");
}

/// Whether `message` names `key` as a word of its own.
bool names_key(const std::string& message, const std::string& key) {
  for (std::size_t at = message.find(key); at != std::string::npos; at = message.find(key, at + 1)) {
    const std::size_t end = at + key.size();
    if (end == message.size() || (message[end] != '_' && !std::isalnum(static_cast<unsigned char>(message[end]))))
      return true;
  }
  return false;
}

}  // namespace

std::vector<Violation> validate(const Config& config, int ranks, Use use) {
  std::vector<Violation> found;
  Rules rules(found);
  validate_model(config, rules);
  validate_moe(config, rules);
  validate_batch(config, rules);
  if (found.empty()) validate_size(config, rules);
  validate_optimization(config.train, rules);
  validate_intervals(config, rules);
  validate_kept(config, rules);
  if (found.empty()) validate_frozen(config, rules);
  validate_layout(config.layout, ranks, rules);
  validate_teams(config, ranks, rules);
  validate_determinism(config, rules);
  validate_local_first(config, rules);
  validate_recompute(config, rules);
  validate_waves(config, rules);
  if (use == Use::train) validate_trained(config, rules);
  return found;
}

void add_violations(LoadResult& result, int ranks, Use use) {
  std::vector<std::string> unsure;  // options that were given but could not be read
  for (const ConfigError& e : result.errors) {
    unsure.push_back(e.key);
    unsure.push_back(suggest_key(e.key));
  }
  const auto about = [](const Violation& v, const std::string& key) {
    return !key.empty() && (v.key == key || names_key(v.message, key));
  };
  for (const Violation& v : validate(result.config, ranks, use)) {
    if (std::any_of(unsure.begin(), unsure.end(), [&](const std::string& key) { return about(v, key); })) continue;
    // At the option itself; where that has its default, at another option of the rule that was given.
    Origin origin = result.origins.contains(v.key) ? result.origins[v.key] : Origin{};
    for (const auto& [key, place] : result.origins)
      if (origin.kind == Origin::Kind::unset && about(v, key)) origin = place;
    result.errors.push_back({origin, v.key, v.message});
  }
  sort_errors(result.errors);
}

}  // namespace switchyard
