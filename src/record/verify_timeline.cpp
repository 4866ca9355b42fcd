// What a timeline says of hops and of pairs of ranks, beside its names, its times and the rows of the same steps.
#include <algorithm>
#include <array>

#include "base/check.hpp"
#include "base/ledger.hpp"
#include "record/structure.hpp"
#include "record/verify_communication.hpp"
#include "schedule/hops.hpp"

namespace switchyard::record {
namespace {

using ledger::Purpose;
using Counts = std::span<const std::int64_t>;

using Text = std::array<char, 16>;

std::string text_of(const Text& fixed) { return {fixed.begin(), std::find(fixed.begin(), fixed.end(), '\0')}; }

/// Whether none is below 0 and the sum of all fits.
bool countable(Counts counts) {
  const std::int64_t max = (std::int64_t{1} << 62) / std::max<std::int64_t>(1, std::ssize(counts));
  return std::all_of(counts.begin(), counts.end(), [max](std::int64_t n) { return n >= 0 && n <= max; });
}

/// The value of an enumeration that ends with `count`, by its name. Throws Error{corrupt} for none.
template <class Enum>
Enum named(const Text& name) {
  int value = 0;
  while (value < static_cast<int>(Enum::count) && schedule::name_of(static_cast<Enum>(value)) != text_of(name)) ++value;
  check(value < static_cast<int>(Enum::count), Exit::corrupt, text_of(name) + " is no stage, direction or kind of hop");
  return static_cast<Enum>(value);
}

/// Purposes of the hops of a file.
std::vector<std::size_t> purposes_of(const RecordReader& file) {
  const std::int64_t tasks = file.length("task"), hops = file.length("hop");
  if (hops == 0) return {};
  const auto stage = file.read<Text>("task_stage", 0, tasks), direction = file.read<Text>("task_direction", 0, tasks),
             kind = file.read<Text>("hop_kind", 0, hops);
  std::vector<std::size_t> purposes;
  for (const std::int32_t task : file.read<std::int32_t>("hop_task", 0, hops)) {
    check(0 <= task && task < tasks, Exit::corrupt, file.path() + " is damaged (hop_task names no task)");
    const auto of = schedule::purpose_of(named<schedule::Stage>(stage[static_cast<std::size_t>(task)]),
                                         named<schedule::Direction>(direction[static_cast<std::size_t>(task)]),
                                         named<schedule::HopKind>(kind[purposes.size()]));
    purposes.push_back(static_cast<std::size_t>(of));
  }
  return purposes;
}

std::vector<std::string> texts_of(const RecordReader& file, const char* name, const char* dimension) {
  std::vector<std::string> texts;
  for (const Text& text : file.read<Text>(name, 0, file.length(dimension))) texts.push_back(text_of(text));
  return texts;
}

/// The tasks that a file names, as far as hops are made of them.
std::vector<schedule::Task> tasks_of(const RecordReader& file) {
  const std::int64_t count = file.length("task");
  const auto stage = file.read<Text>("task_stage", 0, count), direction = file.read<Text>("task_direction", 0, count);
  std::vector<schedule::Task> tasks;
  for (std::size_t i = 0; i < stage.size(); ++i)
    tasks.push_back({.stage = named<schedule::Stage>(stage[i]),
                     .direction = named<schedule::Direction>(direction[i]),
                     .after = {}});
  return tasks;
}

}  // namespace

void check_names(const RecordReader& file, std::vector<std::string>& problems) {
  if (file.attribute("schema_version") < 5) return;  // which had none
  if (texts_of(file, "purpose_name", "purpose") != ledger::purpose_names())
    problems.push_back(file.path() + ": purpose_name has other names than this program");
  if (file.length("hop") == 0) return;
  const std::vector<std::string> found = texts_of(file, "hop_kind", "hop");
  const std::string& sums = schedule::name_of(schedule::HopKind::sums);  // the first programs of version 5 had none
  const bool has_sums = std::find(found.begin(), found.end(), sums) != found.end();
  std::vector<std::string> kinds;
  std::vector<std::int32_t> senders;
  for (const auto& [task, kind] : schedule::hops_of(tasks_of(file), config_of(file.file())))
    if (has_sums || kind != schedule::HopKind::sums) senders.push_back(task), kinds.push_back(schedule::name_of(kind));
  if (found != kinds || file.read<std::int32_t>("hop_task", 0, file.length("hop")) != senders)
    problems.push_back(file.path() + ": hop_task and hop_kind are not the hops of its tasks");
}

TimelineLaws::TimelineLaws(const RecordReader& file)
    : file_(file),
      node_(file.read<std::int32_t>("rank_node", 0, file.length("rank_from"))),
      purpose_(purposes_of(file)),
      rows_travel_(std::find(purpose_.begin(), purpose_.end(), static_cast<std::size_t>(Purpose::dispatch)) !=
                   purpose_.end()) {
  const Config config = config_of(file.file());
  const bool straight =
      config.layout.exchange == ExchangeKind::pairwise || config.layout.exchange == ExchangeKind::alltoallv;
  const int team = config.layout.expert_tensor_parallel;
  switchyard::check(team >= 1 && node_.size() % static_cast<std::size_t>(team) == 0, Exit::corrupt,
                    file.path() + " is damaged (its configuration has layout.expert_tensor_parallel " +
                        std::to_string(team) + " for " + std::to_string(node_.size()) + " ranks)");
  team_ = static_cast<std::size_t>(team);
  if (straight && config.train.precision == Precision::fp32)
    row_bytes_ = std::int64_t{config.model.width} * static_cast<std::int64_t>(sizeof(float));
}

std::vector<std::int64_t> StepRows::row(std::int64_t r) {
  const std::int64_t width = dataset_.row_bytes() / static_cast<std::int64_t>(sizeof(std::int64_t));
  if (r < first_ || (r + 1 - first_) * width > std::ssize(values_)) {
    const std::int64_t piece = rows_of_piece(dataset_.chunk_rows(), dataset_.row_bytes());
    first_ = r / piece * piece;
    const std::int64_t rows = std::min(piece, rows_ - first_);
    values_.resize(static_cast<std::size_t>(rows * width));
    dataset_.read(first_, rows, values_.data());
  }
  const auto begin = values_.begin() + (r - first_) * width;
  return {begin, begin + width};
}

std::vector<std::int64_t> TimelineLaws::row_of_step(const char* name, std::int64_t step) {
  if (step < 1) return {};
  const std::int64_t row = step - file_.attribute("begins_after") - 1;
  if (row < 0 || row >= file_.length("row")) return {};
  return steps_.try_emplace(name, file_, name).first->second.row(row);
}

bool TimelineLaws::hops_within_steps(const RowBlocks& block, std::int64_t r) const {
  constexpr double resolution = 1e-6;
  const auto values = [&](const char* name) { return block.row<double>(name, r); };
  const auto first = values("timeline_step_start"), last = values("timeline_step_end");
  const auto start = values("hop_start"), end = values("hop_end"), waited = values("hop_waited");
  const auto bytes = block.row<std::int64_t>("hop_bytes", r);
  bool within = true;  // comparisons that a NaN fails
  for (std::size_t i = 0; i < start.size(); ++i) {
    if (start[i] == 0.0 && end[i] == 0.0 && waited[i] == 0.0 && bytes[i] == 0) continue;  // nothing travelled
    const std::size_t rank = i / purpose_.size();
    within &= first[rank] - resolution <= start[i] && start[i] <= end[i] && end[i] <= last[rank] + resolution &&
              waited[i] >= 0.0 && waited[i] <= end[i] - start[i] + resolution;
  }
  return within;
}

void TimelineLaws::check_hop_bytes(const RowBlocks& block, std::int64_t r, const std::vector<std::int64_t>& sent,
                                   const std::string& where, std::vector<std::string>& problems) const {
  const Counts bytes = block.row<std::int64_t>("hop_bytes", r);
  if (!countable(bytes)) {
    problems.push_back(where + "hop_bytes are negative or beyond all reason");
    return;
  }
  if (sent.empty()) return;
  std::vector<std::int64_t> sums(sent.size(), 0);
  for (std::size_t i = 0; i < bytes.size(); ++i) sums[purpose_[i % purpose_.size()]] += bytes[i];
  for (std::size_t p = 0; p < sums.size(); ++p)
    if (std::find(purpose_.begin(), purpose_.end(), p) != purpose_.end() && sums[p] != sent[p])
      problems.push_back(where + "hop_bytes for " + ledger::purpose_names()[p] + " sum to " + std::to_string(sums[p]) +
                         ", sent_bytes of its step are " + std::to_string(sent[p]));
}

void TimelineLaws::check_pairs(const RowBlocks& block, std::int64_t r, const char* unit, const std::string& where,
                               std::vector<std::string>& problems) {
  const std::string name = std::string("pair_") + unit;
  const Counts pairs = block.row<std::int64_t>(name.c_str(), r);
  const std::size_t ranks = node_.size(), purposes = ledger::purpose_names().size();
  std::vector<std::int64_t> sums(purposes, 0), across(purposes, 0);
  bool sound = pairs.size() == purposes * ranks * ranks && countable(pairs);
  for (std::size_t i = 0; sound && i < pairs.size(); ++i) {
    const std::size_t p = i / (ranks * ranks), from = i / ranks % ranks, to = i % ranks;
    sound = from != to || pairs[i] == 0;
    sums[p] += pairs[i];
    if (node_[from] != node_[to]) across[p] += pairs[i];
  }
  if (!sound) {
    problems.push_back(where + name + " are negative, beyond all reason, or of a rank to itself");
    return;
  }
  const std::int64_t step = block.value<std::int64_t>("timeline_step", r);
  for (const auto& [whole, of] : {std::pair("sent_", &sums), std::pair("across_", &across)}) {
    const auto row = row_of_step((whole + std::string(unit)).c_str(), step);
    if (!row.empty() && row != *of)
      problems.push_back(where + name + " do not sum to " + whole + unit + " of the step");
  }
}

/// Where rows go straight, each that is kept travels out and home, and its gradients do, to and from every rank of a
/// team, which traffic has at the first: exactly these.
void TimelineLaws::check_rows(const RowBlocks& block, std::int64_t r, const std::string& where,
                              std::vector<std::string>& problems) {
  if (row_bytes_ == 0 || !rows_travel_) return;
  const auto rows = row_of_step("traffic", block.value<std::int64_t>("timeline_step", r));
  const Counts pairs = block.row<std::int64_t>("pair_bytes", r);
  const std::size_t ranks = node_.size();
  if (rows.size() != ranks * ranks) return;
  const auto check_way = [&](Purpose purpose, bool out) {
    bool same = true;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t from = i / ranks, to = i % ranks, at = out ? i : to * ranks + from;
      const std::int64_t sent = pairs[static_cast<std::size_t>(purpose) * ranks * ranks + at];
      same &= from == to || (sent % row_bytes_ == 0 && sent / row_bytes_ == rows[from * ranks + to / team_ * team_]);
    }
    if (!same)
      problems.push_back(where + "pair_bytes for " + ledger::purpose_names()[static_cast<std::size_t>(purpose)] +
                         " are not the rows of traffic, of " + std::to_string(row_bytes_) + " bytes each");
  };
  check_way(Purpose::dispatch, true), check_way(Purpose::combine, false);
  check_way(Purpose::combine_back, true), check_way(Purpose::dispatch_back, false);
}

void TimelineLaws::check(const RowBlocks& block, std::int64_t r, const std::string& where,
                         std::vector<std::string>& problems) {
  if (!purpose_.empty()) {
    if (!hops_within_steps(block, r)) problems.push_back(where + "a hop does not lie within the step of its rank");
    check_hop_bytes(block, r, row_of_step("sent_bytes", block.value<std::int64_t>("timeline_step", r)), where,
                    problems);
  }
  const std::size_t before = problems.size();
  for (const char* unit : {"bytes", "messages"}) check_pairs(block, r, unit, where, problems);
  if (problems.size() == before) check_rows(block, r, where, problems);
}

}  // namespace switchyard::record
