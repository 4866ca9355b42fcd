#include "record/verify_laws.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>

#include "record/row_blocks.hpp"
#include "record/verify_communication.hpp"
#include "record/verify_routing.hpp"

namespace switchyard::record {
namespace {

using Problems = std::vector<std::string>;

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
