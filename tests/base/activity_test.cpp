// What a rank publishes is read whole, whenever its writer stops; sets of ranks; the order of places in a run.
#include "base/activity.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace switchyard::activity {
namespace {

TEST(ActivityTest, ASetOfRanksHasThoseOfItsGroup) {
  const struct {
    std::vector<int> ranks;
    Ranks expected;
  } rows[] = {{{3}, {3, 1, 1}},    {{0, 1, 2, 3}, {0, 1, 4}}, {{1, 3, 5}, {1, 2, 3}}, {{6, 2, 4}, {2, 2, 3}},
              {{0, 5}, {0, 5, 2}}, {{0, 1, 4}, {0, 1, 5}},    {{2, 8, 12}, {2, 2, 6}}};
  for (const auto& [ranks, expected] : rows) {
    const Ranks found = around(ranks);
    EXPECT_EQ(found, expected) << found.first << " " << found.stride << " " << found.count;
    for (const int rank : ranks) EXPECT_TRUE(found.has(rank)) << rank;
    EXPECT_FALSE(found.has(found.first - found.stride)) << "before";
    EXPECT_FALSE(found.has(found.first + found.stride * found.count)) << "past the end";
    if (found.stride > 1) {
      EXPECT_FALSE(found.has(found.first + 1)) << "between";
    }
  }
  EXPECT_FALSE(Ranks{}.has(0));
}

TEST(ActivityTest, PlacesAreInTheOrderOfARun) {
  std::vector<Now> order(9);
  order[1].step = 1, order[1].part = Part::tasks;
  order[2] = order[1], order[2].task = 0;
  order[3] = order[1], order[3].task = 7;
  order[4].step = 1, order[4].part = Part::record;
  order[5].step = 1, order[5].part = Part::checkpoint;
  order[6].step = 2, order[6].part = Part::tasks;
  order[7].round = 1;  // steps begin again
  order[8] = order[1], order[8].round = 1;
  for (std::size_t i = 0; i < order.size(); ++i)
    for (std::size_t k = 0; k < order.size(); ++k) EXPECT_EQ(order[i].is_ahead_of(order[k]), i > k) << i << " " << k;
}

// Numbers are waited for inside the hop of their rows, which may be waited for after them.
TEST(ActivityTest, AHopInsideAnotherEndsBeforeIt) {
  const auto record = std::make_unique<Record>();
  write_to(record.get());
  const auto waited_for = [&record] {
    const Waiting waiting({0, 1, 2}, Wait::messages);
    return std::pair(record->read().hop, record->read().bucket);
  };
  {
    const OnHop outer(Hop::sums, 3);
    {
      const OnHop inner(Hop::numbers);
      EXPECT_EQ(waited_for(), std::pair(Hop::numbers, -1));
    }
    EXPECT_EQ(waited_for(), std::pair(Hop::sums, 3));
  }
  EXPECT_EQ(waited_for().first, Hop::none);
  write_to(nullptr);
}

TEST(ActivityTest, ARoundIsThatOfAllItsSteps) {
  const auto record = std::make_unique<Record>();
  write_to(record.get());
  const int before = record->read().round;
  begin(Part::tasks, 5);
  begin_round(4);
  EXPECT_EQ(record->read().step, 0);
  begin(Part::tasks, 1);
  begin_task(3, 1, 0, 2, 0);
  EXPECT_EQ((std::vector{record->read().round, record->read().lanes}), (std::vector{before + 1, 4}));
  begin_round(0);
  begin(Part::tasks, 1);
  EXPECT_EQ((std::vector{record->read().round, record->read().lanes}), (std::vector{before + 2, 0}));
  write_to(nullptr);
}

TEST(ActivityTest, PublishesWhatTheRankDoes) {
  const auto record = std::make_unique<Record>();
  write_to(record.get());
  begin(Part::tasks, 12);
  begin_task(9, 7, 1, 3, 2);
  std::uint64_t progress = record->progress;
  {
    Waiting waiting({0, 2, 4}, Wait::messages);
    EXPECT_GT(record->progress, progress);
    progress = record->progress;
    Now now = record->read();
    EXPECT_EQ(now.step, 12);
    EXPECT_EQ(now.part, Part::tasks);
    EXPECT_EQ((std::vector{now.task, now.stage, now.direction, now.block, now.lane}), (std::vector{9, 7, 1, 3, 2}));
    EXPECT_EQ(now.wait, Wait::messages);
    EXPECT_EQ(now.group, (Ranks{0, 2, 4}));
    EXPECT_EQ(now.peers, 0);
    EXPECT_FALSE(waiting.asked());
    record->questions.fetch_add(1);
    EXPECT_TRUE(waiting.asked());
    const std::vector<int> peers{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    waiting.answer(peers);
    EXPECT_FALSE(waiting.asked());
    now = record->read();
    EXPECT_EQ(now.peers, 10);
    EXPECT_EQ(now.peer, (std::array{1, 2, 3, 4, 5, 6, 7, 8})) << "the first of them";
    EXPECT_EQ(record->progress, progress) << "an answer is no progress";
  }
  EXPECT_EQ(record->read().wait, Wait::none);
  EXPECT_EQ(record->read().task, 9);
  begin(Part::record);
  EXPECT_EQ(record->read().part, Part::record);
  EXPECT_EQ(record->read().step, 12);
  EXPECT_EQ(record->read().task, -1);
  EXPECT_EQ(record->left, 0u);
  leave();
  EXPECT_EQ(record->left, 1u);
  write_to(nullptr);
  begin(Part::tasks, 13);
  EXPECT_EQ(record->read().step, 12) << "another memory by now";
}

// Every number of a state is the same: a mixture of two would show. The writer outruns the reader all the time.
TEST(ActivityTest, IsReadWholeWhileItIsWritten) {
  const auto record = std::make_unique<Record>();
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 1; !done; ++i) {
      Now now;
      now.step = i, now.task = now.stage = now.direction = now.block = now.lane = now.peers = i;
      now.group = {i, i, i};
      now.peer.fill(i);
      record->publish(now);
    }
  });
  int mixed = 0;
  for (int reads = 0; reads < 2000000; ++reads) {
    const Now now = record->read();
    const int i = static_cast<int>(now.step);
    for (const int number :
         {now.task, now.stage, now.block, now.lane, now.peers, now.group.count, now.peer.front(), now.peer.back()})
      mixed += i > 0 && number != i;
  }
  done = true;
  writer.join();
  EXPECT_EQ(mixed, 0);
}

}  // namespace
}  // namespace switchyard::activity
