// Lists of tasks as text, and what every list must keep.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

#include "schedule/generators.hpp"

namespace switchyard::schedule {
namespace {

Config small() {
  Config c;
  c.model.blocks = 2;
  c.moe.experts = 4, c.moe.every = 2;
  return c;
}

std::string lines_of(const std::vector<Task>& tasks) {
  std::string all;
  for (std::size_t i = 0; i < tasks.size(); ++i) all += text_of(static_cast<int>(i), tasks[i]) + "\n";
  return all;
}

TEST(Serial, AStepOfADenseBlockAndAMixture) {
  EXPECT_EQ(lines_of(make_tasks(small())), R"(0 data lane 0
1 embedding forward lane 0 after 0
2 attention forward block 0 lane 0 after 1
3 feed_forward forward block 0 lane 0 after 2
4 attention forward block 1 lane 0 after 3
5 feed_forward forward block 1 lane 0 after 4
6 router forward block 1 lane 0 after 5
7 plan forward block 1 lane 0 after 6
8 dispatch forward block 1 lane 0 after 7
9 dispatch_finish forward block 1 lane 0 after 8
10 experts forward block 1 lane 0 after 9
11 combine forward block 1 lane 0 after 10
12 combine_finish forward block 1 lane 0 after 11
13 head forward lane 0 after 12
14 statistics lane 0 after 13
15 head backward lane 0 after 14
16 combine backward block 1 lane 0 after 15
17 combine_finish backward block 1 lane 0 after 16
18 experts backward block 1 lane 0 after 17
19 dispatch backward block 1 lane 0 after 18
20 router backward block 1 lane 0 after 19
21 dispatch_finish backward block 1 lane 0 after 20
22 feed_forward backward block 1 lane 0 after 21
23 attention backward block 1 lane 0 after 22
24 expert_weights backward block 1 lane 0 after 23
25 feed_forward backward block 0 lane 0 after 23
26 attention backward block 0 lane 0 after 25
27 embedding backward lane 0 after 26
28 reduce lane 0 after 24 27
29 reduce_finish lane 0 after 28
30 norm lane 0 after 29
31 optimizer lane 0 after 30
32 balance lane 0 after 31
)");
}

TEST(Serial, SharedExpertsAreTasksOfTheirOwn) {
  Config c = small();
  c.moe.shared_experts = 2;
  std::map<Direction, int> shared;
  for (const Task& task : make_tasks(c)) shared[task.direction] += task.stage == Stage::shared;
  EXPECT_EQ(shared[Direction::forward], 1);
  EXPECT_EQ(shared[Direction::backward], 1);
}

TEST(Serial, AnEvaluationIsTheForwardPartOfAStep) {
  const auto pass = forward_pass(small()), step = make_tasks(small());
  ASSERT_EQ(pass.back().stage, Stage::statistics);
  for (std::size_t i = 0; i < pass.size(); ++i) {
    EXPECT_EQ(pass[i].stage, step[i + 1].stage);
    EXPECT_EQ(pass[i].block, step[i + 1].block);
  }
}

/// What a schedule may not change: everything forward is done before the statistics and everything backward after them,
/// and no stage of a block is done twice in one direction and lane.
TEST(Serial, KeepsTheOrderOfASum) {
  for (const int blocks : {1, 3, 8})
    for (const int every : {1, 2, 3}) {
      Config c = small();
      c.model.blocks = blocks, c.moe.every = every;
      const auto tasks = make_tasks(c);
      EXPECT_EQ(fault_in(tasks), "");
      std::set<std::tuple<Stage, Direction, int, int>> done;
      bool reduced = false;
      for (const Task& task : tasks) {
        EXPECT_TRUE(done.insert({task.stage, task.direction, task.block, task.lane}).second);
        reduced |= task.stage == Stage::statistics;
        if (task.direction == Direction::step) continue;
        EXPECT_EQ(reduced, task.direction == Direction::backward);
      }
    }
}

TEST(Serial, SumsABucketAsSoonAsItsBlocksAreThrough) {
  Config c = small();
  c.model.blocks = 3, c.model.width = 1024, c.model.hidden = 4096, c.moe.experts = 0;
  std::string backward;
  for (const Task& task : make_tasks(c))
    if (task.direction == Direction::backward || task.stage == Stage::reduce)
      backward += name_of(task.stage) + " " + std::to_string(task.block) + ", ";
  EXPECT_EQ(backward,
            "head -1, feed_forward 2, attention 2, reduce 2, feed_forward 1, attention 1, reduce 1, feed_forward 0, "
            "attention 0, reduce 0, embedding -1, reduce -1, ");
}

TEST(FaultIn, FindsATaskThatIsTooEarly) {
  auto tasks = make_tasks(small());
  std::swap(tasks[3], tasks[4]);
  EXPECT_NE(fault_in(tasks).find("3 attention forward block 1"), std::string::npos) << fault_in(tasks);
}

TEST(Stages, HaveNamesThatARecordHolds) {
  std::set<std::string> names;
  for (int s = 0; s < static_cast<int>(Stage::count); ++s) {
    const std::string& name = name_of(static_cast<Stage>(s));
    EXPECT_LE(name.size(), 16u);
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

}  // namespace
}  // namespace switchyard::schedule
