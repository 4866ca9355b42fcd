// What is allowed but seldom meant.
#include <algorithm>
#include <functional>
#include <set>

#include "config/balancing.hpp"
#include "config/estimate.hpp"
#include "config/even_routing.hpp"
#include "config/lane_choice.hpp"
#include "config/moe_layers.hpp"
#include "config/options.hpp"
#include "config/recomputation.hpp"
#include "config/routers.hpp"
#include "config/values.hpp"

namespace switchyard {
namespace {

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

/// Whether a moe.* option changes nothing in a model whose largest layer has `max_experts` experts. One expert gets
/// every token, with the weight 1 unless that is a score as it is.
bool does_nothing(const Config& c, const std::string& key, int max_experts) {
  static const std::set<std::string> dense_blocks{"moe.experts", "moe.experts_per_block", "moe.every",
                                                  "moe.first_dense"};
  if (!key.starts_with("moe.") || max_experts > 1) return false;
  if (max_experts == 0) return !dense_blocks.contains(key);
  if (key == "moe.normalise" && c.moe.normalise == Normalise::after) return false;  // it says what is so
  if (key == "moe.router" || key == "moe.normalise") return !traits_of(c.moe.router).raw_weights();
  if (key == "moe.capacity_factor" || key == "moe.drop_order")
    return c.moe.capacity_factor == 0.0 || c.moe.capacity_factor >= 1.0;
  return key == "moe.group_score" ||
         std::any_of(balancing_options().begin(), balancing_options().end(), [&](const BalancingOption& option) {
           return option.evens_loads && (option.key == key || contains(option.forms, key));
         });
}

/// Options that have another value than by default and do nothing, as `idle` says by key.
std::vector<std::string> idle_options(const Config& c, const std::function<bool(const std::string&)>& idle) {
  const Config usual;
  std::vector<std::string> defaults, found;
  visit_values(usual, [&](const std::string&, const auto& value) { defaults.push_back(format_value(value)); });
  std::size_t i = 0;
  visit_values(c, [&](const std::string& key, const auto& value) {
    if (format_value(value) != defaults[i++] && idle(key)) found.push_back(key);
  });
  return found;
}

/// Notes on options that another option makes idle, in a model whose largest layer has `max_experts` experts.
std::vector<Violation> overruled(const Config& c, int max_experts) {
  static const std::set<std::string> by_list{"moe.experts", "moe.every", "moe.first_dense"};
  std::vector<Violation> notes;
  if (!c.moe.experts_per_block.empty())
    if (const auto idle = idle_options(c, [](const std::string& key) { return by_list.contains(key); }); !idle.empty())
      notes.push_back(
          {"moe.experts_per_block", "says which blocks have experts, so these change nothing: " + join(idle)});
  const auto note = [&](const std::string& key, const std::string& since) {
    if (!does_nothing(c, key, max_experts) && !idle_options(c, [&](const auto& o) { return o == key; }).empty())
      notes.push_back({key, "changes nothing, since " + since});
  };
  if (c.train.schedule != Schedule::wsd) note("train.decay_share", "train.schedule is not wsd");
  if (c.moe.groups <= 1) note("moe.group_score", "moe.groups is 1");
  if (c.moe.capacity_factor == 0.0) note("moe.drop_order", "moe.capacity_factor is 0");
  if (c.layout.exchange == ExchangeKind::alltoallv) note("layout.transport", "layout.exchange is alltoallv, MPI's own");
  const std::string still = max_experts == 0 ? "no block has a router"
                            : !traits_of(c.moe.router).learned()
                                ? "moe.router is " + format_value(c.moe.router) + ", which learns nothing"
                                : "";
  if (!still.empty())
    for (const char* key : {"moe.router_std", "train.router_rate", "train.router_warmup"}) note(key, still);
  if (c.moe.bias_rule == BiasRule::quantile) note("moe.bias_rate", "moe.bias_rule quantile has no rate");
  for (const BalancingOption& option : balancing_options())
    for (const std::string& form : option.forms)
      if (!option.on(c.moe)) note(form, option.key + " is " + option.off);
  return notes;
}

/// Where chunks of experts take far more memory than they have elements; else empty.
std::string padded_chunks(const Config& c) {
  const std::int64_t chunk = std::int64_t{c.moe.hidden} / c.moe.hidden_chunks * c.model.width;
  if (c.moe.hidden_chunks == 1 || moe_layers(c).empty() || 2 * padded_unit(chunk) <= 3 * chunk) return "";
  return "a chunk of an expert's matrix has " + std::to_string(chunk) + " elements and takes the memory of " +
         std::to_string(padded_unit(chunk)) + "; use fewer chunks";
}

/// Where the hidden rows of experts are to be made again and blocks that are named have none; empty where all have.
std::string dense_recomputed(const Config& c) {
  if (c.layout.recompute != Recompute::experts) return "";
  std::vector<std::string> dense;
  int mixtures = 0;
  for (int b = 0; b < c.model.blocks; ++b) {
    mixtures += recomputed(c, b) != Recompute::none;
    const std::vector<int>& named = c.layout.recompute_blocks;
    if (c.block_experts(b) == 0 && std::find(named.begin(), named.end(), b) != named.end())
      dense.push_back(std::to_string(b));
  }
  if (mixtures == 0) return "changes nothing, since none of its blocks has experts";
  return dense.empty()
             ? ""
             : "names blocks without experts, of which layout.recompute experts makes nothing again: " + join(dense);
}

/// "moe.aux_loss, moe.importance_loss or moe.bias_rule": what would even the loads; empty where one of them does.
std::string all_off(const MoeConfig& moe) {
  std::vector<std::string> keys;
  for (const BalancingOption& option : balancing_options()) {
    if (!option.evens_loads) continue;
    if (option.on(moe)) return "";
    keys.push_back(option.key);
  }
  const std::string last = keys.back();
  keys.pop_back();
  return join(keys) + " or " + last;
}

/// Where the limit to groups of experts says nothing of nodes, since one lies on several; else empty.
std::string straddling_groups(const Config& c, const Layout& layout) {
  if (!layout.by_nodes() || c.moe.groups_kept >= c.moe.groups) return "";
  const Leg leg = layout.legs().front();
  const std::string named = leg.rail ? " nodes" : " ranks";
  const int all = layout.expert_parallel / leg.width;
  for (const MoeLayer& layer : moe_layers(c)) {
    std::size_t most = 0;
    for (const auto& parts : parts_of_groups(c, layout, leg.width, layer)) most = std::max(most, parts.size());
    if (most > 1 && parts_reached(c, layout, leg.width, layer) == std::min(c.moe.top_k, all))
      return "limits no" + named + " of a token: a group of experts of block " + std::to_string(layer.block) +
             " lies on " + std::to_string(most) + " of " + std::to_string(all) + named +
             (layout.seats ? " by layout.placement" : "") +
             "; make whole groups share one, as a multiple of them does in order";
  }
  return "";
}

void advise_on_experts(const Config& c, std::vector<Violation>& notes) {
  const int max_experts = largest_layer(moe_layers(c));
  notes = overruled(c, max_experts);
  if (const auto idle = idle_options(c, [&](const std::string& key) { return does_nothing(c, key, max_experts); });
      !idle.empty())
    notes.push_back({c.moe.experts_per_block.empty() ? "moe.experts" : "moe.experts_per_block",
                     std::string(max_experts == 0 ? "no block has experts, so these change nothing: "
                                                  : "layers have one expert, so these change no weight: ") +
                         join(idle)});
  const RouterTraits router = traits_of(c.moe.router);
  const bool learned = max_experts > 1 && router.learned();
  if (learned && c.moe.top_k == 1 && normalise_of(c.moe) == Normalise::after)
    notes.push_back({"moe.normalise",
                     "after with moe.top_k 1 makes every combine weight the same: the language-model loss "
                     "teaches the router nothing; use " +
                         (router.normalise.size() == 1
                              ? "two experts a token or more"
                              : format_value(router.raw_weights() ? Normalise::none : Normalise::before))});
  if (learned && c.moe.router == RouterKind::sigmoid && normalise_of(c.moe) == Normalise::none)
    notes.push_back({"moe.normalise",
                     "raw sigmoid weights can shrink until experts hardly count (mean_weight is recorded); two choices "
                     "a token with after, or softmax with before, keep their sum"});
  if (const double bin = 2.0 * c.moe.bias_range / c.moe.bias_bins;
      c.moe.bias_rule == BiasRule::quantile && c.moe.router == RouterKind::softmax && 10.0 * bin * max_experts > 1.0)
    notes.push_back({"moe.bias_range", format_value(c.moe.bias_range) + " makes bins of " + format_value(bin) +
                                           ", which hardly tell softmax scores of " + std::to_string(max_experts) +
                                           " experts apart, whose mean is 1/" + std::to_string(max_experts) +
                                           "; make it smaller, or moe.bias_bins larger"});
  if (const std::string unset = all_off(c.moe); learned && !unset.empty())
    notes.push_back(
        {"moe.aux_loss", "nothing keeps the experts' loads even; set " + unset + " unless that is what you study"});
}

void advise_on_lanes(const Config& c, int ranks, std::vector<Violation>& notes) {
  if (ranks > c.train.grains)
    notes.push_back({"train.grains", std::to_string(ranks) + " ranks share " + std::to_string(c.train.grains) +
                                         " grains: some ranks have no tokens; more grains would use them"});
  else if (const int grains = c.train.grains / ranks; c.layout.lanes > grains)
    notes.push_back({"layout.lanes", std::to_string(c.layout.lanes) + " lanes share the " + std::to_string(grains) +
                                         " grain(s) of a rank: some lanes have no tokens; use fewer, or more grains"});
  if (c.layout.schedule != ScheduleKind::serial && c.layout.lanes == 1)
    notes.push_back({"layout.lanes", "1 with layout.schedule " + format_value(c.layout.schedule) +
                                         ": while rows travel there is no other lane to work on; use 2 or more"});
  const bool blocks = c.layout.exchange == ExchangeKind::alltoallv;
  if (const std::string why = blocks ? "layout.exchange alltoallv" : why_lanes_stand(c, ranks);
      !why.empty() && c.layout.waves > 1)
    notes.push_back({"layout.waves", std::to_string(c.layout.waves) + " with " + why +
                                         ": nothing is done on one wave while rows of another travel; use 1"});
  if (const std::string dense = dense_recomputed(c); !dense.empty())
    notes.push_back({c.layout.recompute_blocks.empty() ? "layout.recompute" : "layout.recompute_blocks", dense});
}

void advise_on_ways(const Config& c, int ranks, std::vector<Violation>& notes) {
  const int expert_parallel = c.layout.expert_parallel ? c.layout.expert_parallel : ranks;
  const int teams = expert_parallel / std::max(1, c.layout.expert_tensor_parallel);
  if (const std::string padded = padded_chunks(c); !padded.empty()) notes.push_back({"moe.hidden_chunks", padded});
  const bool placed = c.layout.placement == contiguous_placement || c.layout.seat_orders;  // the file has been read
  if (const std::string straddling = placed ? straddling_groups(c, layout_of(c, ranks)) : ""; !straddling.empty())
    notes.push_back({"moe.groups_kept", straddling});
  if (c.layout.by_nodes() && expert_parallel > 1 && c.layout.ranks_per_node == 0)
    notes.push_back({"layout.ranks_per_node",
                     "0 with layout.exchange " + format_value(c.layout.exchange) + ": memory is that of one node" +
                         (c.layout.exchange == ExchangeKind::node ? ", on which rows go straight" : "") +
                         "; set it to the ranks that a node will have to see that of more"});
  if (c.layout.placement != contiguous_placement && teams == 1)
    notes.push_back(
        {"layout.placement", "changes nothing, since every rank holds all experts (layout.expert_parallel)"});
  else if (c.layout.placement != contiguous_placement && !c.layout.by_nodes())
    notes.push_back(
        {"layout.placement", "with layout.exchange " + format_value(c.layout.exchange) +
                                 ": a row goes for each choice, wherever experts live; node sends one for each node"});
  int min_experts = largest_layer(moe_layers(c));
  for (const MoeLayer& layer : moe_layers(c)) min_experts = std::min(min_experts, layer.experts);
  if (min_experts > 0 && min_experts < teams)
    notes.push_back({"layout.expert_parallel", std::to_string(expert_parallel) + " ranks share " +
                                                   std::to_string(min_experts) + " experts: some ranks hold none"});
}

}  // namespace

std::vector<Violation> advice(const Config& c, int ranks) {
  std::vector<Violation> notes;
  advise_on_experts(c, notes);
  advise_on_lanes(c, ranks, notes);
  advise_on_ways(c, ranks, notes);
  return notes;
}

}  // namespace switchyard
