#include "comm/exchange.hpp"

#include "base/check.hpp"
#include "comm/exchange/algorithms.hpp"

namespace switchyard::comm {

std::unique_ptr<Exchange> make_exchange(ExchangeKind kind, const Communicator& group) {
  switch (kind) {
    case ExchangeKind::pairwise:
    case ExchangeKind::node:
      return make_pairwise(make_transports(group));
    case ExchangeKind::alltoallv:
      return make_alltoallv(group);
  }
  throw Error(Exit::internal, "an exchange without a line in make_exchange");
}

Exchanges::Exchanges(ExchangeKind kind, const Groups& groups)
    : near(make_exchange(kind, groups.by_nodes ? groups.by_nodes->near : groups.expert)),
      rail(groups.by_nodes ? make_exchange(kind, groups.by_nodes->rail) : nullptr) {}

void check_plan(const RowPlan& plan, int ranks, int rank) {
  const auto entries = static_cast<std::size_t>(ranks) + 1;
  expect(plan.send.size() == entries && plan.receive.size() == entries, "a plan with one entry a rank and one more");
  expect(plan.send[0] == 0 && plan.receive[0] == 0, "a plan that starts at row 0");
  for (int p = 0; p < ranks; ++p)
    expect(plan.send[p] <= plan.send[p + 1] && plan.receive[p] <= plan.receive[p + 1], "ascending rows in a plan");
  expect(plan.send[rank + 1] - plan.send[rank] == plan.receive[rank + 1] - plan.receive[rank],
         "as many rows sent to oneself as received");
}

Itinerary straight(const RowPlan& plan, int ranks, int rank) {
  check_plan(plan, ranks, rank);
  return {plan, {plan.receive, plan.send}};
}

int mpi_tag(ExchangeTag tag) {
  return static_cast<int>(tag.step % 4 * 8192 + tag.block % 256 * 32 + tag.lane % 4 * 8 + tag.journey % 8);
}

}  // namespace switchyard::comm
