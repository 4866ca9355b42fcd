#include "moe/link.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/ledger.hpp"

namespace switchyard::moe {
namespace {

/// Gradients of weights are no rows; they are for the router.
Phase phase_of(Journey journey) {
  if (journey == Journey::weights) return Phase::router;
  return journey == Journey::dispatch || journey == Journey::dispatch_backward ? Phase::dispatch : Phase::combine;
}

ledger::Purpose purpose_of(Journey journey) {
  switch (journey) {
    case Journey::dispatch:
      return ledger::Purpose::dispatch;
    case Journey::combine:
      return ledger::Purpose::combine;
    case Journey::combine_backward:
      return ledger::Purpose::combine_back;
    case Journey::dispatch_backward:
      return ledger::Purpose::dispatch_back;
    case Journey::weights:
      return ledger::Purpose::weights;
  }
  throw Error(Exit::internal, "a journey without a purpose");
}

const comm::RowPlan& rows_of(const Freight& freight) {
  return freight.bound == comm::Bound::out ? freight.itinerary.out : freight.itinerary.home;
}

/// Rows of one side of a plan, but those that stay on rank `me`.
std::int64_t away(const comm::RowRanges& rows, int me) {
  std::int64_t others = -rows[me].size();
  for (const Range& range : rows) others += range.size();
  return others;
}

activity::Hop hop_on(const LayerContext& context, const Way& way) {
  if (!context.groups.by_nodes) return activity::Hop::none;
  return &way.group == &context.groups.by_nodes->rail ? activity::Hop::rail : activity::Hop::near;
}

}  // namespace

bool UnderWay::poll() {
  if (!flight) return false;
  if (expect_rows && expect_rows(false)) expect_rows = nullptr;
  if (!flight->poll()) return true;
  if (travels.back().end == 0.0) travels.back().end = now();
  return false;
}

Hop UnderWay::take_last() {
  const Hop last = travels.empty() || flight ? Hop{} : Hop(travels.back());
  if (!flight) travels.clear();
  return last;
}

Way near_way(const LayerContext& context) {
  const comm::Groups& groups = context.groups;
  return {groups.by_nodes ? groups.by_nodes->near : groups.expert, *context.exchanges.near};
}

Way way_of(const LayerContext& context, const Leg& leg) {
  return leg.rail ? Way{context.groups.by_nodes->rail, *context.exchanges.rail} : near_way(context);
}

Link::Link(const LayerContext& context, const Way& way, int block)
    : exchange_(way.exchange),
      through_host_(exchange_.memory() == comm::Memory::host),
      timers_(context.timers),
      me_(way.group.rank()),
      block_(block),
      hop_(hop_on(context, way)) {
  for (int r = 0; r < way.group.size(); ++r) on_node_.push_back(context.groups.on_my_node(way.group, r));
}

/// For the rows that come; their bytes, of those of other ranks.
std::int64_t Link::make_room(const comm::Passage& passage, Buffer& receive) const {
  const comm::RowRanges& rows = passage.plan().receive;
  receive.reserve(comm::count_rows(rows) * passage.row_bytes);
  return away(rows, me_) * passage.row_bytes;
}

/// On the side where the exchange works.
std::byte* Link::side(const Buffer& rows) const { return through_host_ ? rows.host() : rows.device(); }

activity::Hop Link::hop_of(const Freight& freight) const {
  return freight.journey == Journey::weights ? activity::Hop::weights : hop_;
}

void Link::start(const Queue& queue, UnderWay& under_way, const Freight& freight, const Buffer& send,
                 Buffer& receive) const {
  expect(!under_way.flight, "one journey at a time");
  const comm::Passage passage{freight.itinerary,
                              freight.bound,
                              freight.row_bytes,
                              {freight.step, block_, static_cast<int>(freight.journey), freight.lane}};
  const comm::RowPlan& rows = passage.plan();
  if (through_host_) send.to_host(queue, comm::count_rows(rows.send) * passage.row_bytes);
  queue.fence("switchyard::moe::link::start");  // the rows to send are written
  under_way.travels.emplace_back();
  const ledger::For purpose(purpose_of(freight.journey));
  Travel& travel = under_way.travels.back();
  travel.bytes = away(rows.send, me_) * passage.row_bytes;
  travel.start = now();
  const activity::OnHop hop(hop_of(freight));  // an exchange may wait here
  if (!freight.numbers || freight.numbers->poll(true)) {
    travel.received = make_room(passage, receive);
    under_way.flight = exchange_.start(passage, side(send), side(receive));
  } else {
    under_way.flight = exchange_.send(passage, side(send));
    under_way.expect_rows = [this, &under_way, passage, numbers = freight.numbers, &receive](bool may_grow) {
      if (!numbers->poll(may_grow)) return false;
      if (!may_grow && receive.capacity() < comm::count_rows(passage.plan().receive) * passage.row_bytes) return false;
      under_way.travels.back().received = make_room(passage, receive);
      under_way.flight->receive(side(receive));
      return true;
    };
  }
  if (under_way.flight->poll())  // also one that sent all before it returned
    travel.end = now(), travel.waited = travel.end - travel.start;
  count(phase_of(freight.journey), [&](std::size_t r) { return rows.send[r].size() * freight.row_bytes; });
}

void Link::finish(const Queue& queue, UnderWay& under_way, const Freight& freight, const Buffer& receive) const {
  expect(under_way.flight != nullptr, "a journey under way");
  if (const auto expect_rows = std::exchange(under_way.expect_rows, nullptr))
    expect(expect_rows(true), "numbers of rows that have come before their rows are waited for");
  under_way.poll();
  Travel& travel = under_way.travels.back();
  const double begin = now();
  const activity::OnHop hop(hop_of(freight));
  under_way.flight->finish();
  under_way.flight.reset();
  if (travel.end == 0.0) travel.end = now(), travel.waited = travel.end - begin;
  if (through_host_) receive.to_device(queue, comm::count_rows(rows_of(freight).receive) * freight.row_bytes);
  const Waited before = freight.numbers ? freight.numbers->take_waited() : Waited{};
  if (before.seconds == 0.0) return;
  travel.waited += before.seconds;
  travel.start = std::min(travel.start, before.from), travel.end = std::max(travel.end, before.until);
}

}  // namespace switchyard::moe
