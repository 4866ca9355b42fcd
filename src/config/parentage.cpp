#include "config/parentage.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include "base/check.hpp"
#include "config/options.hpp"
#include "config/routers.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

/// Options of the model and of its mixtures that change no function of the parameters.
constexpr std::array training_options{"model.init_std", "model.z_loss"};
/// Of moe.* those that do; what keeps loads even is not among them.
constexpr std::array mixture_options{
    "moe.experts",       "moe.experts_per_block", "moe.every",       "moe.first_dense", "moe.hidden",    "moe.top_k",
    "moe.hidden_chunks", "moe.shared_experts",    "moe.shared_gate", "moe.router",      "moe.normalise", "moe.scale",
    "moe.groups",        "moe.groups_kept",       "moe.group_score", "moe.router_prior"};

bool among(const auto& names, const std::string& key) { return std::ranges::find(names, key) != names.end(); }

bool of_model(const std::string& key) {
  return key.starts_with("model.") && key != "model.context" && !among(training_options, key);
}

bool is_architecture(const std::string& key) { return of_model(key) || among(mixture_options, key); }

std::vector<int> experts_of_blocks(const Config& c) {
  std::vector<int> experts;
  for (int b = 0; b < c.model.blocks; ++b)
    experts.push_back(c.moe.experts_per_block.empty() || b < std::ssize(c.moe.experts_per_block) ? c.block_experts(b)
                                                                                                 : 0);
  return experts;
}

bool has_mixtures(const Config& c) {
  return std::ranges::any_of(experts_of_blocks(c), [](int experts) { return experts > 0; });
}

/// `c` with the options that may say the same in several ways said as in `other`, where they come to the same.
Config in_words_of(Config c, const Config& other) {
  if (c.kv_heads() == other.kv_heads()) c.model.kv_heads = other.model.kv_heads;
  if (c.head_dim() == other.head_dim()) c.model.head_dim = other.model.head_dim;
  if (c.value_dim() == other.value_dim()) c.model.value_dim = other.model.value_dim;
  if (!has_mixtures(c) && !has_mixtures(other)) c.moe = other.moe;
  if (normalise_of(c.moe) == normalise_of(other.moe)) c.moe.normalise = other.moe.normalise;
  if (experts_of_blocks(c) == experts_of_blocks(other)) {
    c.moe.experts = other.moe.experts, c.moe.experts_per_block = other.moe.experts_per_block;
    c.moe.every = other.moe.every, c.moe.first_dense = other.moe.first_dense;
  }
  if (has_mixtures(c) && std::ranges::count(experts_of_blocks(c), 0) == 0 &&
      std::ranges::count(experts_of_blocks(other), 0) == 0)
    c.model.hidden = other.model.hidden;  // of no block
  return c;
}

/// Whether the seed says to which experts a token id goes, and so is part of the model.
bool routes_by_seed(const Config& c) {
  return has_mixtures(c) && (c.moe.router == RouterKind::hash || c.moe.router_prior > 0.0);
}

}  // namespace

Config config_of_options(const std::string& options) {
  std::vector<std::string> values;
  std::istringstream lines(options);
  for (std::string line; std::getline(lines, line);)
    if (const auto colon = line.find(": "); colon != line.npos)
      values.push_back(line.substr(0, colon) + "=" + line.substr(colon + 2));
  const LoadResult result = load_text("options", "", values);
  std::vector<std::string> wrong;
  for (const ConfigError& e : result.errors) wrong.push_back(e.text());
  check(wrong.empty(), Exit::usage,
        "the run to start from has options that this program does not know: " + join(wrong, "; ") +
            "; use the program that made it");
  return result.config;
}

std::vector<Violation> branch_violations(const Config& parent, const Config& child) {
  Config now = in_words_of(child, parent);
  if (now.model.vocabulary == 0) now.model.vocabulary = parent.model.vocabulary;
  std::vector<Violation> violations;
  for (const auto& [key, was, is] : option_changes(invariant_options(parent), now)) {
    const bool tokens = key == "train.batch" || key == "model.context";
    const bool routed_by = key == "train.seed" && routes_by_seed(now);
    if (!tokens && !routed_by && !is_architecture(key)) continue;
    violations.push_back({key, "is " + is + ", but " + was + " in the run to start from (" +
                                   (tokens      ? "its steps would be of another number of tokens"
                                    : routed_by ? "which expert a token id is sent to is drawn from it"
                                                : "the model would have another architecture") +
                                   "); set it to " + was + ", or train from scratch"});
  }
  return violations;
}

namespace {

/// Width of the feed-forward of a block of a dense model; 0 where it is no dense one.
int dense_width(const Config& c, int block) {
  const int experts = c.block_experts(block);
  if (experts > 1 || (experts == 1 && c.moe.shared_experts > 0)) return 0;
  return experts == 1 ? c.moe.hidden : c.model.hidden;
}

/// What is wrong with a block of the mixture.
void check_block(const Config& parent, const Config& child, int b, std::vector<Violation>& violations) {
  const std::string block = "block " + std::to_string(b);
  const int width = dense_width(parent, b);
  if (width == 0)
    violations.push_back({"moe.experts", "of " + block + " is " + std::to_string(parent.block_experts(b)) +
                                             " in the run to start from, which must be dense; use --from for a "
                                             "mixture"});
  else if (child.block_experts(b) == 0 && parent.block_experts(b) > 0)
    violations.push_back({"moe.experts", "of " + block +
                                             " is 0, but 1 in the run to start from (whose feed-forward "
                                             "has the name of an expert); let the block have experts"});
  else if (const int now = child.block_experts(b) > 0 ? child.moe.hidden : child.model.hidden; now != width)
    violations.push_back({child.block_experts(b) > 0 ? "moe.hidden" : "model.hidden",
                          "is " + std::to_string(now) + ", but the feed-forward of " + block + " is " +
                              std::to_string(width) +
                              " wide in the run to start from (an expert is a copy of it); "
                              "set it to " +
                              std::to_string(width)});
}

}  // namespace

std::vector<Violation> upcycle_violations(const Config& parent, const Config& child) {
  std::vector<Violation> violations;
  Config now = in_words_of(child, parent);
  now.model.hidden = parent.model.hidden;  // which blocks tell
  if (now.model.vocabulary == 0) now.model.vocabulary = parent.model.vocabulary;
  for (const auto& [key, was, is] : option_changes(invariant_options(parent), now))
    if (of_model(key))
      violations.push_back({key, "is " + is + ", but " + was +
                                     " in the run to start from (the model would have another "
                                     "architecture); set it to " +
                                     was});
  if (!violations.empty()) return violations;
  if (!has_mixtures(child))
    return {{"moe.experts",
             "gives no block experts (there would be nothing to copy feed-forwards into); set it above "
             "0, or use --from"}};
  if (child.moe.shared_experts > 0)
    violations.push_back({"moe.shared_experts", "is " + std::to_string(child.moe.shared_experts) +
                                                    ", but the dense run has no source of them; set it to 0"});
  for (int b = 0; b < child.model.blocks && violations.empty(); ++b) check_block(parent, child, b, violations);
  return violations;
}

std::string upcycle_note(const Config& child) {
  const Normalise normalise = normalise_of(child.moe);
  const bool raw = normalise != Normalise::after && child.moe.router != RouterKind::hash;
  if (!raw && child.moe.scale == 1.0) return "";
  return "the weights of a token's experts do not sum to 1 (moe.normalise is " + format_value(normalise) +
         ", moe.scale " + format_value(child.moe.scale) +
         "), so the mixture does not begin as the dense model that it is made of";
}

}  // namespace switchyard
