// Shares of communication from intervals written by hand.
#include "train/accounting.hpp"

#include <gtest/gtest.h>

#include <map>

namespace switchyard::train {
namespace {

using schedule::Direction;
using schedule::Stage;
using schedule::Task;

Task task(Stage stage) { return {stage, Direction::forward, 0, 0, 0, {}}; }

const std::vector<Task> tasks{
    task(Stage::plan),    task(Stage::dispatch), task(Stage::experts),   task(Stage::dispatch_finish),
    task(Stage::combine), task(Stage::experts),  task(Stage::statistics)};

moe::Travel travel(const moe::Hop& hop) { return {hop, {}, {}}; }

/// Of these only the last one is a meeting. Rows leave at 2 and arrive at 7, of which a task waits from 6; others from
/// 8 to 9; a sum from 10 to 12.
std::vector<Interval> intervals() {
  return {{0.0, 1.0, 0, {}},  {1.0, 2.5, 0, travel({2.0, 7.0, 1.0})}, {2.5, 6.0, 0, {}},
          {6.0, 7.5, 0, {}},  {7.5, 8.0, 0, travel({8.0, 9.0, 0.0})}, {8.0, 10.0, 0, {}},
          {10.0, 12.0, 0, {}}};
}

/// Of these purposes; of all others nothing.
void expect_parts(const Communication& c, const std::map<ledger::Purpose, Communication::Part>& parts) {
  for (std::size_t p = 0; p < c.parts.size(); ++p) {
    const auto found = parts.find(static_cast<ledger::Purpose>(p));
    const Communication::Part wanted = found == parts.end() ? Communication::Part{} : found->second;
    EXPECT_DOUBLE_EQ(c.parts[p].busy, wanted.busy) << ledger::purpose_names()[p];
    EXPECT_DOUBLE_EQ(c.parts[p].exposed, wanted.exposed) << ledger::purpose_names()[p];
  }
}

TEST(Accounting, WhatIsWaitedForIsExposed) {
  const Communication c = communication(tasks, intervals(), {.ranks = 2, .expert_parallel = 2});
  EXPECT_DOUBLE_EQ(c.step, 12.0);
  EXPECT_DOUBLE_EQ(c.busy, 5.0 + 1.0 + 2.0);
  EXPECT_DOUBLE_EQ(c.exposed, 1.0 + 0.0 + 2.0);
  EXPECT_DOUBLE_EQ(c.hidden_share(), 5.0 / 8.0);
  expect_parts(c, {{ledger::Purpose::dispatch, {5.0, 1.0}},
                   {ledger::Purpose::combine, {1.0, 0.0}},
                   {ledger::Purpose::statistics, {2.0, 2.0}}});
  EXPECT_DOUBLE_EQ(c.compute, 12.0 - 3.0);
}

TEST(Accounting, OverlappingJourneysCountOnce) {
  std::vector<Interval> two = intervals();
  two[4].travel = travel({6.5, 9.0, 0.5});  // another lane's, which leaves while the first is away
  const Communication c = communication(tasks, two, {.ranks = 2, .expert_parallel = 2});
  EXPECT_DOUBLE_EQ(c.busy, 7.0 + 2.0);
  EXPECT_DOUBLE_EQ(c.exposed, 3.5);
  expect_parts(c, {{ledger::Purpose::dispatch, {5.0, 1.0}},  // 2.5 s more than all of them together
                   {ledger::Purpose::combine, {2.5, 0.5}},
                   {ledger::Purpose::statistics, {2.0, 2.0}}});
}

// Where rows go by nodes the hop inside a node and the gradients of weights are intervals of their own.
TEST(Accounting, EveryHopOfAJourneyCounts) {
  std::vector<Interval> by_nodes = intervals();
  by_nodes[1].travel.near = {7.0, 7.4, 0.4};     // after the rail
  by_nodes[4].travel.weights = {6.0, 7.2, 0.1};  // while the others travel
  const Communication c = communication(tasks, by_nodes, {.ranks = 2, .expert_parallel = 2});
  EXPECT_DOUBLE_EQ(c.busy, 5.4 + 1.0 + 2.0);
  EXPECT_DOUBLE_EQ(c.exposed, 3.0 + 0.4 + 0.1);
  expect_parts(c, {{ledger::Purpose::dispatch, {5.4, 1.4}},
                   {ledger::Purpose::combine, {1.0, 0.0}},
                   {ledger::Purpose::weights, {1.2, 0.1}},
                   {ledger::Purpose::statistics, {2.0, 2.0}}});
}

// Gradients leave in one task, and what another one waits for them is exposed; both tasks by themselves are not.
TEST(Accounting, GradientsTravelBesideOtherTasks) {
  const std::vector<Task> both{task(Stage::reduce), task(Stage::experts), task(Stage::reduce),
                               task(Stage::reduce_finish)};
  const std::vector<Interval> of{{0.0, 0.5, 0, travel({0.25, 4.0, 0.0})},
                                 {0.5, 5.0, 0, {}},
                                 {5.0, 5.5, 0, travel({5.25, 9.0, 3.0})},
                                 {6.0, 9.0, 0, {}}};
  const Communication c = communication(both, of, {.ranks = 2, .expert_parallel = 1});
  EXPECT_DOUBLE_EQ(c.busy, 3.75 + 3.75);
  EXPECT_DOUBLE_EQ(c.exposed, 3.0);
  expect_parts(c, {{ledger::Purpose::reduce, {7.5, 3.0}}});
  EXPECT_EQ(schedule::hops_of(both, {}).size(), 2u);
  EXPECT_EQ(schedule::purpose_of(Stage::reduce, Direction::step, schedule::HopKind::sums), ledger::Purpose::reduce);
  EXPECT_DOUBLE_EQ(hop_of(of[2], schedule::HopKind::sums).waited, 3.0);
}

TEST(Accounting, RanksThatDoNotMeetHaveNone) {
  std::vector<Interval> alone = intervals();
  for (Interval& i : alone) i.travel = {};
  EXPECT_DOUBLE_EQ(communication(tasks, alone, {}).busy, 0.0);
  EXPECT_DOUBLE_EQ(communication(tasks, alone, {}).hidden_share(), 1.0);
  EXPECT_DOUBLE_EQ(communication(tasks, alone, {.ranks = 2, .expert_parallel = 1}).busy, 2.0) << "statistics";
  EXPECT_DOUBLE_EQ(communication({}, {}, {}).step, 0.0);
}

// Their squares are summed by many: of experts by the ranks of a group, with shards of the optimizer by their owners.
TEST(Accounting, RanksMeetInTheNormWhereItsUnitsAreElsewhere) {
  const std::vector<Task> plain{task(Stage::norm)}, sharded{task(Stage::norm), task(Stage::gather)};
  EXPECT_EQ(schedule::meetings(plain, {.ranks = 2, .expert_parallel = 2}), std::vector<bool>{true});
  EXPECT_EQ(schedule::meetings(plain, {.ranks = 2, .expert_parallel = 1}), std::vector<bool>{false});
  EXPECT_EQ(schedule::meetings(sharded, {.ranks = 2, .expert_parallel = 1}), (std::vector<bool>{true, true}));
  EXPECT_EQ(schedule::meetings(sharded, {}), (std::vector<bool>{false, false}));
  const Communication c = communication(plain, {{3.0, 4.5, 0, {}}}, {.ranks = 2, .expert_parallel = 2});
  EXPECT_DOUBLE_EQ(c.busy, 1.5);
  EXPECT_DOUBLE_EQ(c.exposed, 1.5);
}

TEST(Accounting, WeightsOfOtherOwnersAreWaitedFor) {
  std::vector<Task> more = tasks;
  more.push_back(task(Stage::gather));
  std::vector<Interval> of = intervals();
  of.push_back({12.0, 15.0, 0, {}});
  const Communication c = communication(more, of, {.ranks = 2, .expert_parallel = 2});
  EXPECT_DOUBLE_EQ(c.busy, 8.0 + 3.0);
  EXPECT_DOUBLE_EQ(c.exposed, 3.0 + 3.0);
}

}  // namespace
}  // namespace switchyard::train
