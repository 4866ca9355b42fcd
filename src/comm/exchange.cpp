#include "comm/exchange.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "comm/agree.hpp"
#include "comm/exchange/algorithms.hpp"
#include "config/lane_choice.hpp"

namespace switchyard::comm {

std::unique_ptr<Exchange> make_exchange(const LayoutConfig& layout, const Communicator& group) {
  switch (layout.exchange) {
    case ExchangeKind::pairwise:
    case ExchangeKind::node:
    case ExchangeKind::gather:
      return make_pairwise(make_transports(group, layout.transport));
    case ExchangeKind::alltoallv:
      return make_alltoallv(group);
  }
  throw Error(Exit::internal, "an exchange without a line in make_exchange");
}

Exchanges::Exchanges(const LayoutConfig& layout, const Groups& groups) {
  agree(groups.world, [&] { near = make_exchange(layout, groups.by_nodes ? groups.by_nodes->near : groups.expert); });
  if (groups.by_nodes) agree(groups.world, [&] { rail = make_exchange(layout, groups.by_nodes->rail); });
  std::string note;
  std::int64_t pairs[2] = {0, 0};
  for (const auto* exchange : {near.get(), rail.get()}) {
    if (!exchange) continue;
    const Picked own = exchange->picked();
    pairs[0] += own.by_window, pairs[1] += own.by_mpi;
    if (note.empty()) note = own.note;
  }
  all_reduce_sum(groups.world, pairs, 2);
  picked.by_window = pairs[0] / 2, picked.by_mpi = pairs[1] / 2;  // each of a pair has counted it
  for (const std::string& found : all_gather(groups.world, note))
    if (picked.note.empty()) picked.note = found;
}

RowRanges consecutive(const std::vector<std::int64_t>& first) {
  RowRanges ranges;
  for (std::size_t p = 0; p + 1 < first.size(); ++p) ranges.push_back({first[p], first[p + 1]});
  return ranges;
}

std::int64_t count_rows(const RowRanges& ranges) {
  std::int64_t rows = 0;
  for (const Range& range : ranges) rows = std::max(rows, range.last);
  return rows;
}

Itinerary there_and_back(RowPlan out) {
  RowPlan home{out.receive, out.send};
  return {std::move(out), std::move(home)};
}

namespace {

void check_plan(const RowPlan& plan, std::size_t ranks, std::size_t rank) {
  expect(plan.send.size() == ranks && plan.receive.size() == ranks, "a plan with rows of each rank");
  for (const RowRanges& side : {plan.send, plan.receive})
    for (const Range& range : side) expect(0 <= range.first && range.first <= range.last, "ascending rows in a plan");
  RowRanges received = plan.receive;
  std::erase_if(received, [](const Range& range) { return range.size() == 0; });
  std::sort(received.begin(), received.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  for (std::size_t p = 1; p < received.size(); ++p)
    expect(received[p - 1].last <= received[p].first, "received rows of one rank each");
  expect(plan.send[rank].size() == plan.receive[rank].size(), "as many rows sent to oneself as received");
}

}  // namespace

Itinerary checked(const Itinerary& plans, int ranks, int rank) {
  for (const RowPlan& plan : {plans.out, plans.home})
    check_plan(plan, static_cast<std::size_t>(ranks), static_cast<std::size_t>(rank));
  return plans;
}

// What a lane sends of one kind comes in the order in which it is sent, so block and step need not be told apart; lanes
// must be, whose receives are posted in whatever order their numbers of rows come.
int mpi_tag(ExchangeTag tag) {
  static_assert(max_lanes * 8 * 2 <= 32768, "every MPI has tags up to 32767");
  return static_cast<int>(tag.step % 2 * (max_lanes * 8) + tag.lane % max_lanes * 8 + tag.journey % 8);
}

}  // namespace switchyard::comm
