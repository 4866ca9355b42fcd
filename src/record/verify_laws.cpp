#include "record/verify_laws.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>

#include "moe/statistics.hpp"
#include "record/routing_shape.hpp"
#include "record/row_blocks.hpp"
#include "record/verify_communication.hpp"

namespace switchyard::record {
namespace {

using Problems = std::vector<std::string>;
using Counts = std::vector<std::int64_t>;

/// One row of run.h5, in a block.
struct Row {
  const RowBlocks& block;
  std::int64_t at;  ///< in the block
  const RoutingShape& shape;
  const std::string& where;
  template <class T>
  T value(const char* name) const {
    return block.value<T>(name, at);
  }
  template <class T>
  std::span<const T> all(const char* name) const {
    return block.row<T>(name, at);
  }
  /// The first `count` values of a layer.
  template <class T>
  std::span<const T> layer(const char* name, std::int64_t l, std::int64_t count) const {
    const auto row = all<T>(name);
    return row.subspan(static_cast<std::size_t>(l) * row.size() / static_cast<std::size_t>(shape.layers),
                       static_cast<std::size_t>(count));
  }
};

/// `before`: the step before, -1 where it is not known.
void check_scalars(const Row& row, std::int64_t before, Problems& problems) {
  const auto step = row.value<std::int64_t>("step");
  if (step < 1 || (before >= 0 && step - 1 != before))
    problems.push_back(row.where + "step " + std::to_string(step) + " does not follow the one before");
  if (Checked(step) * row.shape.step_tokens != row.value<std::int64_t>("tokens"))
    problems.push_back(row.where + "tokens are not step * step_tokens");
  double sum = row.value<double>("loss_cross_entropy");
  for (const char* part : {"loss_head_z", "loss_aux", "loss_importance", "loss_router_z"})
    sum += row.value<double>(part);
  if (row.value<double>("loss") != sum) problems.push_back(row.where + "loss is not the sum of its parts");
}

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

Problems check_run_rows(const RecordReader& file, RowBlocks& block) {
  Problems problems;
  const RoutingShape shape(file);
  const bool begins = hdf5::has_attribute(file.file().id(), "begins_after");  // since version 3
  std::int64_t before = begins ? file.attribute("begins_after") : -1;
  while (block.next())
    for (std::int64_t r = 0; r < block.rows(); ++r) {
      const std::string where = file.path() + ": row " + std::to_string(block.first() + r) + ": ";
      const Row row{block, r, shape, where};
      check_scalars(row, before, problems);
      if (shape.layers > 0) check_layers(row, problems);
      if (file.has("sent_bytes")) check_communication(block, r, where, problems);  // since version 5
      if (file.has("purpose_busy")) check_purposes(block, r, where, problems);     // since version 6
      before = row.value<std::int64_t>("step");
    }
  return problems;
}

/// Tasks of each rank have ends after their begins, and lie within the step of that rank, but for a clock's resolution.
bool within_steps(const RowBlocks& block, std::int64_t r) {
  constexpr double resolution = 1e-6;
  const auto first = block.row<double>("timeline_step_start", r), last = block.row<double>("timeline_step_end", r);
  const auto start = block.row<double>("timeline_start", r), end = block.row<double>("timeline_end", r);
  const std::size_t tasks = start.size() / first.size();
  bool ordered = true;  // comparisons that a NaN fails
  for (std::size_t i = 0; i < start.size(); ++i)
    ordered &=
        start[i] <= end[i] && start[i] >= first[i / tasks] - resolution && end[i] <= last[i / tasks] + resolution;
  return ordered;
}

/// The steps that are due by an interval in a segment: its multiples after the segment's begin.
struct DueSteps {
  std::string option;
  std::int64_t every, begins_after;
  DueSteps(const RecordReader& run, const char* name, std::int64_t interval)
      : option(name), every(interval), begins_after(run.attribute("begins_after")) {}
  /// Number i; 0 where none is due.
  Checked of(std::int64_t i) const { return every > 0 ? (Checked(begins_after / every) + 1 + i) * every : Checked(0); }
  /// How many there are at least beside so many rows: what belongs to a row's own step is written after it.
  std::int64_t min_count(std::int64_t rows) const {
    const std::int64_t last = (Checked(begins_after) + rows).value();
    return every > 0 && rows > 0 ? (last - 1) / every - begins_after / every : 0;
  }
  std::string because() const {
    return " (" + option + " is " + std::to_string(every) + ", and the segment begins after step " +
           std::to_string(begins_after) + ")";
  }
  /// What is wrong with a number of them ("timelines") beside so many rows; nothing if nothing.
  Problems check_count(const std::string& path, const char* plural, std::int64_t count, std::int64_t rows) const {
    if (count >= min_count(rows)) return {};
    return {path + ": " + std::to_string(count) + " " + plural + ", but its rows have at least " +
            std::to_string(min_count(rows)) + because()};
  }
  /// The same of the step of number i.
  Problems check_step(const std::string& where, std::int64_t i, std::int64_t step) const {
    if (every > 0 && of(i) == Checked(step)) return {};
    return {where + "it is of step " + std::to_string(step) + ", not of " + to_string(of(i)) + because()};
  }
};

void append(Problems& to, const Problems& more) { to.insert(to.end(), more.begin(), more.end()); }

/// The evaluations of a run.h5 of version 3 or later: those that are due.
Problems check_evaluated_steps(const RecordReader& file, RowBlocks& block) {
  const DueSteps due(file, "train.evaluate_every", config_of(file.file()).train.evaluate_every);
  Problems problems = due.check_count(file.path(), "evaluations", file.length("evaluation"), file.length("row"));
  while (block.next())
    for (std::int64_t r = 0; r < block.rows(); ++r) {
      const std::string where = file.path() + ": evaluation " + std::to_string(block.first() + r) + ": ";
      append(problems, due.check_step(where, block.first() + r, block.value<std::int64_t>("evaluation_step", r)));
    }
  return problems;
}

Problems check_timeline_rows(const RecordReader& file, RowBlocks& block) {
  const DueSteps due(file, "record.timeline_every", config_of(file.file()).record.timeline_every);
  Problems problems = due.check_count(file.path(), "timelines", file.length("timeline"), file.length("row"));
  auto laws = file.has("pair_bytes") ? std::optional<TimelineLaws>(file) : std::nullopt;  // since version 5
  if (laws) check_names(file, problems);
  while (block.next())
    for (std::int64_t r = 0; r < block.rows(); ++r) {
      const std::string where = file.path() + ": timeline " + std::to_string(block.first() + r) + ": ";
      append(problems, due.check_step(where, block.first() + r, block.value<std::int64_t>("timeline_step", r)));
      if (!within_steps(block, r)) problems.push_back(where + "a task does not lie within the step of its rank");
      const auto bytes = block.row<std::int64_t>("timeline_bytes", r);
      if (std::any_of(bytes.begin(), bytes.end(), [](std::int64_t n) { return n < 0; }))
        problems.push_back(where + "bytes are negative");
      if (laws) laws->check(block, r, where, problems);
    }
  return problems;
}

Problems check_token_rows(const RecordReader& file, RowBlocks& block) {
  std::tuple<std::int64_t, std::int64_t, std::int32_t> before{-1, -1, -1};
  std::int64_t wrong = -1;
  while (block.next())
    for (std::int64_t r = 0; r < block.rows(); ++r) {
      const std::tuple now{block.value<std::int64_t>("step", r), block.value<std::int64_t>("sequence", r),
                           block.value<std::int32_t>("position", r)};
      if (now <= before && wrong < 0) wrong = block.first() + r;
      before = now;
    }
  if (wrong < 0) return {};
  return {file.path() + ": row " + std::to_string(wrong) + " is not after the one before by step, sequence, position"};
}

Problems check_evaluation_rows(const RecordReader& file, RowBlocks& block) {
  Problems problems;
  const auto choices = static_cast<std::size_t>(file.length("choice"));
  std::int64_t before = 0;
  while (block.next())
    for (std::int64_t r = 0; r < block.rows(); ++r) {
      const std::string where = file.path() + ": evaluation " + std::to_string(block.first() + r) + ": ";
      const auto step = block.value<std::int64_t>("step", r);
      if (block.first() + r > 0 && step <= before) problems.push_back(where + "its step is not after the one before");
      before = step;
      if (!file.has("expert")) continue;  // a dense model
      const auto dropped = block.row<std::uint8_t>("dropped", r);
      if (std::any_of(dropped.begin(), dropped.end(), [](std::uint8_t d) { return d != 0; }))
        problems.push_back(where + "choices are dropped, though evaluation drops nothing");
      const auto expert = block.row<std::int16_t>("expert", r);
      bool twice = false;
      for (std::size_t i = 0; i < expert.size(); ++i)
        for (std::size_t j = i - i % choices; j < i; ++j) twice |= expert[i] >= 0 && expert[i] == expert[j];
      if (twice) problems.push_back(where + "a token chooses an expert twice");
    }
  return problems;
}

}  // namespace

Problems check_rows(const RecordReader& file) {
  Problems problems;
  for (const Dimension& d : dimensions_of(file.kind())) {
    if (!d.growing) continue;
    RowBlocks block(file, d.name);
    const std::string name = d.name;
    Problems found;
    if (file.kind() == FileKind::run && name == "row")
      found = check_run_rows(file, block);
    else if (file.kind() == FileKind::run && name == "timeline" && file.has(name))  // since version 4
      found = check_timeline_rows(file, block);
    else if (file.kind() == FileKind::run && name == "evaluation" &&
             hdf5::has_attribute(file.file().id(), "begins_after"))
      found = check_evaluated_steps(file, block);
    else if (file.kind() == FileKind::tokens)
      found = check_token_rows(file, block);
    else if (file.kind() == FileKind::evaluation)
      found = check_evaluation_rows(file, block);
    else
      while (block.next()) continue;
    append(problems, found);
  }
  return problems;
}

}  // namespace switchyard::record
