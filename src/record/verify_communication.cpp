#include "record/verify_communication.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/check.hpp"
#include "base/ledger.hpp"
#include "base/timers.hpp"
#include "schedule/hops.hpp"

namespace switchyard::record {
namespace {

using ledger::Purpose;
using Counts = std::span<const std::int64_t>;

constexpr std::int64_t largest = std::int64_t{1} << 53;  // of any count, so that sums of them fit

/// What a step counts by the plans in a phase is what is posted for these purposes.
struct PhasePurposes {
  Phase phase;
  std::vector<Purpose> purposes;
};

const std::vector<PhasePurposes>& phase_purposes() {
  static const std::vector<PhasePurposes> table{{Phase::router, {Purpose::weights}},
                                                {Phase::plan, {Purpose::plan}},
                                                {Phase::dispatch, {Purpose::dispatch, Purpose::dispatch_back}},
                                                {Phase::combine, {Purpose::combine, Purpose::combine_back}},
                                                {Phase::reduce, {Purpose::reduce, Purpose::gather}}};
  return table;
}

/// Whether `part` is of `whole`, entry by entry.
bool is_part(Counts part, Counts whole) {
  for (std::size_t i = 0; i < whole.size(); ++i)
    if (part[i] < 0 || part[i] > whole[i] || whole[i] > largest) return false;
  return true;
}

void check_phases(Counts sent, Counts phases, const std::string& where, std::vector<std::string>& problems) {
  for (const auto& [phase, purposes] : phase_purposes()) {
    const auto p = static_cast<std::size_t>(phase);
    std::int64_t sum = 0;
    for (const Purpose purpose : purposes) sum += sent[static_cast<std::size_t>(purpose)];
    if (sum != phases[p])
      problems.push_back(where + "sent_bytes of phase " + phase_names()[p] + " sum to " + std::to_string(sum) +
                         ", phase_bytes are " + std::to_string(phases[p]));
  }
}

void check_times(const RowBlocks& block, std::int64_t r, const std::string& where, std::vector<std::string>& problems) {
  constexpr double rounding = 1e-9;
  const auto value = [&](const char* name) { return block.value<double>(name, r); };
  const double busy = value("communication_busy"), exposed = value("communication_exposed");
  if (!(exposed >= 0.0 && exposed <= busy + rounding && std::isfinite(busy)))
    problems.push_back(where + "communication_exposed is not within 0 and communication_busy");
  else if (value("hidden_share") != schedule::hidden_share(busy, exposed))
    problems.push_back(where + "hidden_share is not that of communication_busy and communication_exposed");
  if (!(value("exposed_share") >= 0.0 && value("exposed_share") <= 1.0 + rounding))
    problems.push_back(where + "exposed_share is not within 0 and 1");
  const double p50 = value("hop_p50"), p99 = value("hop_p99"), max = value("hop_max");
  if (!(p50 >= 0.0 && p50 <= p99 && p99 <= max && std::isfinite(max)))
    problems.push_back(where + "hop_p50, hop_p99 and hop_max do not ascend from 0");
}

}  // namespace

void check_purposes(const RowBlocks& block, std::int64_t r, const std::string& where,
                    std::vector<std::string>& problems) {
  constexpr double rounding = 1e-9;
  const auto busy = block.row<double>("purpose_busy", r), exposed = block.row<double>("purpose_exposed", r);
  const double all_busy = block.value<double>("communication_busy", r),
               all_exposed = block.value<double>("communication_exposed", r);
  if (!(all_exposed >= 0.0 && all_exposed <= all_busy + rounding)) return;  // of which check_communication tells
  double sum_busy = 0.0, sum_exposed = 0.0;
  bool within = true;  // comparisons that a NaN fails
  for (std::size_t p = 0; p < busy.size(); ++p) {
    within &= exposed[p] >= 0.0 && exposed[p] <= busy[p] + rounding && busy[p] <= all_busy + rounding;
    sum_busy += busy[p], sum_exposed += exposed[p];
  }
  if (!within) problems.push_back(where + "purpose_exposed, purpose_busy and communication_busy do not ascend from 0");
  if (!(std::abs(sum_exposed - all_exposed) <= rounding && all_busy <= sum_busy + rounding))
    problems.push_back(where + "purpose_busy and purpose_exposed do not sum to those of all communication");
}

void check_communication(const RowBlocks& block, std::int64_t r, const std::string& where,
                         std::vector<std::string>& problems) {
  const auto counts = [&](const char* name) { return block.row<std::int64_t>(name, r); };
  const Counts bytes = counts("sent_bytes"), messages = counts("sent_messages");
  const Counts phases = counts("phase_bytes");
  check(bytes.size() == ledger::purpose_names().size() && phases.size() == Timers::phases, Exit::corrupt,
        where + "it has other phases or purposes than this program");
  check_times(block, r, where, problems);
  if (!is_part(counts("across_bytes"), bytes) || !is_part(counts("across_messages"), messages)) {
    problems.push_back(where + "across_bytes or across_messages are not part of all that is sent");
    return;
  }
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (bytes[i] > 0 && messages[i] == 0) problems.push_back(where + "bytes are sent without a message");
  check_phases(bytes, phases, where, problems);
}

}  // namespace switchyard::record
