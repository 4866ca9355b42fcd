// The estimate as text for people.
#include <algorithm>
#include <array>
#include <cstdio>

#include "config/estimate.hpp"
#include "config/even_routing.hpp"
#include "config/moe_layers.hpp"

namespace switchyard {
namespace {

/// "12.3 M": three digits and a decimal prefix.
std::string count(double value) {
  int step = 0;
  for (; value >= 999.5 && step < 6; ++step) value /= 1000.0;
  std::array<char, 32> text;
  static constexpr std::array<const char*, 7> prefixes{"", " k", " M", " G", " T", " P", " E"};
  std::snprintf(text.data(), text.size(),
                step == 0        ? "%.0f%s"
                : value >= 99.95 ? "%.0f%s"
                : value >= 9.995 ? "%.1f%s"
                                 : "%.2f%s",
                value, prefixes[step]);
  return text.data();
}

/// "3" or "2 to 3".
std::string range(std::int64_t min, std::int64_t max) {
  return min == max ? std::to_string(min) : std::to_string(min) + " to " + std::to_string(max);
}

std::string experts_line(const Config& c, const Layout& layout) {
  const std::vector<MoeLayer> layers = moe_layers(c);
  const int experts = largest_layer(layers);
  if (layers.empty()) return describe_line("experts", "none, all blocks are dense");
  std::int64_t min = experts, max = 0;
  for (int place = 0; place < layout.expert_parallel; ++place) {
    const std::int64_t held = layout.experts_of(place, experts).size();
    min = std::min(min, held), max = std::max(max, held);
  }
  return describe_line("experts", std::to_string(experts) + " in " + std::to_string(layers.size()) + " of " +
                                      std::to_string(c.model.blocks) + " blocks, " + range(min, max) + " a rank (" +
                                      std::to_string(layout.groups()) + " expert-parallel group(s) of " +
                                      std::to_string(layout.expert_parallel) + " rank(s))");
}

/// Where rows go by nodes and a token may use some of the groups of experts only: the nodes that it then uses at most.
std::string reach_line(const Config& c, const Layout& layout) {
  const std::vector<MoeLayer> layers = moe_layers(c);
  if (!layout.by_nodes() || c.moe.groups_kept >= c.moe.groups || layers.empty()) return "";
  const Leg leg = layout.legs().front();
  int reached = 0;
  for (const MoeLayer& layer : layers) reached = std::max(reached, parts_reached(c, layout, leg.width, layer));
  return describe_line("reach of a token", "at most " + std::to_string(reached) + " of " +
                                               std::to_string(layout.expert_parallel / leg.width) +
                                               (leg.rail ? " nodes" : " ranks") + ", by " +
                                               std::to_string(c.moe.groups_kept) + " of " +
                                               std::to_string(c.moe.groups) + " groups of experts");
}

std::string bytes_lines(const std::vector<RankBytes>& ranks) {
  const auto largest = std::max_element(ranks.begin(), ranks.end(),
                                        [](const RankBytes& a, const RankBytes& b) { return a.total() < b.total(); });
  const RankBytes& b = *largest;
  std::string text = describe_line(
      "bytes per rank", mebibytes(b.total()) + " at even loads" +
                            (ranks.size() > 1 ? ", the most, on rank " + std::to_string(largest - ranks.begin()) : ""));
  for (const auto& [name, bytes] : {std::pair("  parameters", b.parameters), std::pair("  moments", b.moments),
                                    std::pair("  gradients", b.gradients), std::pair("  activations", b.activations),
                                    std::pair("  expert rows", b.expert_rows), std::pair("  exchange", b.exchange),
                                    std::pair("  scratch", b.scratch), std::pair("  sums, records", b.transient),
                                    std::pair("  fixed base, measured", b.base)})
    text += describe_line(name, mebibytes(bytes));
  return text;
}

}  // namespace

std::string with_commas(std::int64_t value) {
  std::string text = std::to_string(value);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

std::string mebibytes(std::int64_t bytes) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.1f MiB", double(bytes) / (1 << 20));
  return text.data();
}

std::string describe_line(const std::string& name, const std::string& value) {
  std::string text = name;
  text.resize(std::max<std::size_t>(text.size() + 1, 24), ' ');
  return text + value + "\n";
}

std::string describe(const Config& c, const std::vector<RankBytes>& bytes) {
  const int ranks = static_cast<int>(bytes.size());
  const ModelSize size = model_size(c);
  const Layout layout = layout_of(c, ranks);
  std::int64_t min = c.train.grains, max = 0;
  for (int r = 0; r < ranks; ++r) {
    min = std::min(min, layout.grains_of(r).size());
    max = std::max(max, layout.grains_of(r).size());
  }
  const double tokens = double(c.train.steps) * double(c.step_tokens());
  return describe_line("parameters",
                       with_commas(size.total()) + " in all, " + with_commas(size.active) + " active for a token") +
         describe_line("tokens", count(tokens) + " in " + std::to_string(c.train.steps) + " steps of " +
                                     std::to_string(c.step_tokens()) + " (" + std::to_string(c.train.batch) +
                                     " sequences of " + std::to_string(c.model.context) + ")") +
         describe_line(
             "work", count(flop_per_token(c)) + "FLOP a token, " + count(flop_per_token(c) * tokens) + "FLOP in all") +
         describe_line("grains", std::to_string(c.train.grains) + " of " + std::to_string(c.grain_sequences()) +
                                     " sequence(s), " + range(min, max) + " a rank") +
         experts_line(c, layout) + reach_line(c, layout) + bytes_lines(bytes);
}

}  // namespace switchyard
