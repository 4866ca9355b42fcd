#include "record/verify_routing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/checked.hpp"
#include "moe/statistics.hpp"

namespace switchyard::record {
namespace {

using Problems = std::vector<std::string>;
using Counts = std::vector<std::int64_t>;

/// Whether all are within 0 and `max`, so that sums of them fit.
bool within(std::span<const std::int64_t> counts, Checked max) {
  return std::all_of(counts.begin(), counts.end(), [&](std::int64_t n) { return n >= 0 && n <= max; });
}

std::int64_t sum_of(std::span<const std::int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

/// The counts of a layer; false where they are too far off to reckon with.
bool check_counts(const Row& row, std::int64_t l, const std::string& where, Problems& problems) {
  const Checked expected = Checked(row.shape.step_tokens) * row.shape.choices;
  const auto assigned = row.layer<std::int64_t>("assigned", l, row.shape.experts),
             kept = row.layer<std::int64_t>("kept", l, row.shape.experts);
  bool outside = false, beyond = false;
  for (std::size_t e = 0; e < assigned.size(); ++e) {
    outside |= kept[e] < 0 || kept[e] > assigned[e];
    beyond |= static_cast<std::int64_t>(e) >= row.shape.layer_experts[static_cast<std::size_t>(l)] && assigned[e] != 0;
  }
  if (outside) problems.push_back(where + "kept is not within 0 and assigned");
  if (beyond) problems.push_back(where + "counts beyond the layer's experts");
  if (!within(assigned, expected) || sum_of(assigned) != expected)
    problems.push_back(where + "assigned sums to " +
                       (within(assigned, expected) ? std::to_string(sum_of(assigned)) : "something else") +
                       ", not step_tokens * top_k = " + to_string(expected));
  return within(assigned, expected) && !outside;
}

constexpr double rounding = 0.01;  ///< by which sums of floats may leave their range

/// Means over the tokens of a step, of scores within 0 and 1.
void check_scores(const Row& row, std::int64_t l, const std::string& where, Problems& problems) {
  const auto require = [&](bool holds, const char* message) {
    if (!holds) problems.push_back(where + message);
  };
  const auto at = static_cast<std::size_t>(l);
  const double entropy = row.all<double>("entropy")[at], experts = row.shape.layer_experts[at];
  require(entropy >= -rounding && entropy <= std::log(experts) + rounding,
          "entropy is not within 0 and the logarithm of the experts");
  if (!row.block.has("score_spread")) return;
  const double spread = row.all<double>("score_spread")[at], weight = row.all<double>("mean_weight")[at];
  require(spread >= 0.0 && spread <= 0.5 + rounding, "score_spread is not within 0 and a half");
  require(weight >= 0.0 && std::isfinite(weight), "mean_weight is not a number from 0 on");
}

/// What is recorded of the routing beside the counts: recomputed from them where it follows, within its range
/// elsewhere.
void check_routing(const Row& row, std::int64_t l, const std::string& where, Problems& problems) {
  const auto require = [&](bool holds, const char* message) {
    if (!holds) problems.push_back(where + message);
  };
  const auto at = static_cast<std::size_t>(l);
  const std::int64_t experts = row.shape.layer_experts[at];
  const auto step_tokens = static_cast<double>(row.shape.step_tokens);
  const auto assigned = row.layer<std::int64_t>("assigned", l, experts),
             kept = row.layer<std::int64_t>("kept", l, experts);
  const Counts chosen(assigned.begin(), assigned.end());
  require(row.all<double>("max_vio")[at] == moe::max_vio(chosen), "max_vio is not that of assigned");
  require(row.all<double>("drop_share")[at] == moe::drop_share(chosen, {kept.begin(), kept.end()}),
          "drop_share is not that of assigned and kept");
  const auto margin = row.all<std::int64_t>("margin");
  const auto bins = row.layer<std::int64_t>("margin", l, static_cast<std::int64_t>(margin.size()) / row.shape.layers);
  require(within(bins, row.shape.step_tokens) && sum_of(bins) == row.shape.step_tokens,
          "margin does not have every token of the step once");
  check_scores(row, l, where, problems);
  const auto masses = row.layer<double>("prob_mass", l, experts);
  require(std::all_of(masses.begin(), masses.end(),
                      [&](double m) { return m >= 0.0 && m <= step_tokens * (1.0 + rounding); }),
          "prob_mass is not within 0 and the tokens of the step");
  const auto nothing_beyond = [experts](auto values) {
    return std::all_of(values.begin() + experts, values.end(), [](auto value) { return value == 0; });
  };
  require(nothing_beyond(row.layer<double>("prob_mass", l, row.shape.experts)) &&
              nothing_beyond(row.layer<float>("bias", l, row.shape.experts)),
          "prob_mass or bias beyond the layer's experts");
}

}  // namespace

void check_layers(const Row& row, Problems& problems) {
  bool countable = true;
  for (std::int64_t l = 0; l < row.shape.layers; ++l) {
    const std::string where = row.where + "layer " + std::to_string(l) + ": ";
    if (!check_counts(row, l, where, problems)) {
      countable = false;
      continue;
    }
    check_routing(row, l, where, problems);
  }
  const auto traffic = row.all<std::int64_t>("traffic");
  if (!countable || row.shape.layers == 0) return;
  const std::int64_t kept = sum_of(row.all<std::int64_t>("kept"));
  if (!within(traffic, kept) || sum_of(traffic) != kept)
    problems.push_back(row.where + "traffic sums to " +
                       (within(traffic, kept) ? std::to_string(sum_of(traffic)) : "something else") + ", kept to " +
                       std::to_string(kept));
}

}  // namespace switchyard::record
