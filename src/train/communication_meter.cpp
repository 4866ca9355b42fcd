#include "train/communication_meter.hpp"

#include <utility>

#include "base/ledger.hpp"

namespace switchyard::train {
namespace {

/// What is measured of the hops of a rank: start, end, waited, bytes, hop after hop.
constexpr std::size_t hop_values = 4;

std::size_t purposes() { return ledger::purpose_names().size(); }

/// (purposes) of bytes, messages, bytes to other nodes, messages to other nodes. Exact, being far below 2^53.
std::vector<double> totals(const comm::Nodes& nodes, int rank) {
  const auto entries = ledger::entries();
  const std::size_t n = purposes(), ranks = entries.size() / n;
  std::vector<double> sums(4 * n, 0.0);
  for (std::size_t p = 0; p < n; ++p)
    for (std::size_t r = 0; r < ranks; ++r) {
      const auto bytes = static_cast<double>(entries[p * ranks + r].bytes),
                 messages = static_cast<double>(entries[p * ranks + r].messages);
      const double across = nodes.together(rank, static_cast<int>(r)) ? 0.0 : 1.0;
      sums[p] += bytes, sums[n + p] += messages;
      sums[2 * n + p] += across * bytes, sums[3 * n + p] += across * messages;
    }
  return sums;
}

/// Those whose times are told of: gradients take as long as their buckets are large.
std::vector<schedule::TaskHop> hops_of_rows(std::vector<schedule::TaskHop> hops, const Layout& layout) {
  std::erase_if(hops, [&layout](const schedule::TaskHop& hop) {
    return layout.expert_parallel == 1 || hop.kind == schedule::HopKind::sums;
  });
  return hops;
}

}  // namespace

CommunicationMeter::CommunicationMeter(const Machine& machine)
    : machine_(machine),
      all_hops_(schedule::hops_of(machine.tasks, machine.config)),
      hops_(hops_of_rows(all_hops_, machine.groups.layout)),
      hop_times_(machine.tasks, hops_) {
  row(0);  // which leaves an empty one
}

void CommunicationMeter::add_own(const StepResult& result, std::vector<double>& measures) const {
  const comm::Groups& groups = machine_.groups;
  const Communication all = communication(machine_.tasks, result.intervals, groups.layout);
  measures.insert(measures.end(), {all.busy, all.exposed, result.end - result.start});
  for (const Communication::Part& part : all.parts) measures.insert(measures.end(), {part.busy, part.exposed});
  const std::vector<double> sums = totals(groups.nodes, groups.layout.rank);
  measures.insert(measures.end(), sums.begin(), sums.end());
  for (const schedule::TaskHop& hop : hops_) {
    const moe::Hop& of = hop_of(result.intervals[static_cast<std::size_t>(hop.task)], hop.kind);
    measures.push_back(of.bytes + of.received > 0 ? of.end - of.start : 0.0);
  }
}

const double* CommunicationMeter::take(const double* of) {
  row_.busy += *of++, row_.exposed += *of++, length_ += *of++;
  for (std::size_t p = 0; p < purposes(); ++p) row_.purpose_busy[p] += *of++, row_.purpose_exposed[p] += *of++;
  for (auto* sums : {&row_.bytes, &row_.messages, &row_.bytes_across, &row_.messages_across})
    for (std::int64_t& sum : *sums) sum += static_cast<std::int64_t>(*of++);
  hop_seconds_.insert(hop_seconds_.end(), of, of + hops_.size());
  return of + hops_.size();
}

record::CommunicationRow CommunicationMeter::row(std::int64_t step) {
  record::CommunicationRow row = std::exchange(row_, {});
  for (auto* sums : {&row_.bytes, &row_.messages, &row_.bytes_across, &row_.messages_across})
    sums->assign(purposes(), 0);
  for (auto* seconds : {&row_.purpose_busy, &row_.purpose_exposed}) seconds->assign(purposes(), 0.0);
  const double length = std::exchange(length_, 0.0), ranks = machine_.groups.world.size();
  row.exposed_share = length > 0.0 ? row.exposed / length : 0.0;
  row.busy /= ranks, row.exposed /= ranks;
  for (auto* seconds : {&row.purpose_busy, &row.purpose_exposed})
    for (double& of_purpose : *seconds) of_purpose /= ranks;
  const HopTail tail = hop_times_.add(step, std::exchange(hop_seconds_, {}));
  row.hop_p50 = tail.p50, row.hop_p99 = tail.p99, row.hop_max = tail.max;
  return row;
}

void CommunicationMeter::add_timeline(const StepResult& result, double offset, double origin,
                                      record::TimelineRow& row) const {
  const comm::Communicator& world = machine_.groups.world;
  std::vector<double> mine;
  for (const schedule::TaskHop& hop : all_hops_) {
    const moe::Hop& of = hop_of(result.intervals[static_cast<std::size_t>(hop.task)], hop.kind);
    if (of.end > 0.0)
      mine.insert(mine.end(), {of.start + offset, of.end + offset, of.waited, static_cast<double>(of.bytes)});
    else
      mine.insert(mine.end(), hop_values, 0.0);
  }
  const std::vector<double> hops = comm::gather_on_root(world, mine);
  for (std::size_t at = 0; at < hops.size(); at += hop_values) {
    const bool went = hops[at + 1] > 0.0;
    row.hop_start.push_back(went ? hops[at] - origin : 0.0), row.hop_end.push_back(went ? hops[at + 1] - origin : 0.0);
    row.hop_waited.push_back(hops[at + 2]), row.hop_bytes.push_back(static_cast<std::int64_t>(hops[at + 3]));
  }
  const std::size_t ranks = static_cast<std::size_t>(world.size()), width = purposes() * ranks;
  std::vector<std::int64_t> sent;  // bytes, messages of each purpose and rank
  for (const ledger::Sent& entry : ledger::entries()) sent.insert(sent.end(), {entry.bytes, entry.messages});
  const std::vector<std::int64_t> all = comm::gather_on_root(world, sent);
  for (auto* pairs : {&row.pair_bytes, &row.pair_messages}) pairs->resize(all.empty() ? 0 : width * ranks);
  for (std::size_t i = 0; i < all.size() / 2; ++i) {
    const std::size_t from = i / width, purpose = i / ranks % purposes(), to = i % ranks;
    const std::size_t at = (purpose * ranks + from) * ranks + to;
    row.pair_bytes[at] = all[2 * i], row.pair_messages[at] = all[2 * i + 1];
  }
}

}  // namespace switchyard::train
