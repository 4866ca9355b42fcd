// Who is the cause of a standstill, who waits for whom, and the words for it.
#include "train/stuck_report.hpp"

#include <gtest/gtest.h>

#include "schedule/task.hpp"

namespace switchyard::train {
namespace {

using activity::Part;
using activity::Ranks;
using activity::Wait;
using schedule::Direction;
using schedule::Stage;

/// Rank `rank`, whose process is 1000 + rank, in a task of step 12.
Seen in_task(int rank, int task, Stage stage, Direction direction, int block) {
  Seen seen;
  seen.rank = rank, seen.process = 1000 + rank;
  seen.now.step = 12, seen.now.part = Part::tasks, seen.now.task = task;
  seen.now.stage = static_cast<int>(stage), seen.now.direction = static_cast<int>(direction), seen.now.block = block;
  return seen;
}

Seen at_experts(int rank) { return in_task(rank, 10, Stage::experts, Direction::forward, 3); }

Seen in_messages(int rank, const Ranks& group, const std::vector<int>& peers, int task = 9) {
  Seen seen = in_task(rank, task, Stage::dispatch_finish, Direction::forward, 3);
  seen.now.wait = Wait::messages, seen.now.group = group;
  seen.now.peers = static_cast<int>(peers.size());
  std::copy(peers.begin(), peers.end(), seen.now.peer.begin());
  return seen;
}

Seen in_group(int rank, const Ranks& group, int task = 20) {
  Seen seen = in_task(rank, task, Stage::statistics, Direction::step, -1);
  seen.now.wait = Wait::group, seen.now.group = group;
  return seen;
}

std::vector<std::string> one_host(int ranks) { return std::vector<std::string>(ranks, "a"); }

/// Ranks of the causes.
std::vector<int> blamed(const Standstill& s) {
  std::vector<int> ranks;
  for (const int cause : s.causes) ranks.push_back(s.seen[cause].rank);
  return ranks;
}

using Lists = std::vector<std::vector<int>>;

TEST(StuckReportTest, AStoppedRankIsTheCauseWhereverItIs) {
  const Ranks all{0, 1, 4};
  std::vector<Seen> seen{in_group(0, all), in_group(1, all), in_group(2, all), in_messages(3, all, {2})};
  seen[2].state = ProcessState::stopped;  // in the same collective as those that wait for it
  const Standstill s = look_into(seen, one_host(4));
  EXPECT_EQ(blamed(s), (std::vector{2}));
  EXPECT_EQ(s.waits_for, (Lists{{2, 3}, {2, 3}, {3}, {2}})) << "3 is not as far as the others";
}

TEST(StuckReportTest, TheChainEndsAtWhoWaitsForNobody) {
  const std::vector<Seen> seen{in_messages(0, {0, 1, 3}, {1}), in_messages(1, {0, 1, 3}, {2}), at_experts(2)};
  const Standstill s = look_into(seen, one_host(3));
  EXPECT_EQ(s.waits_for, (Lists{{1}, {2}, {}}));
  EXPECT_EQ(blamed(s), (std::vector{2}));
}

TEST(StuckReportTest, InACollectiveThoseWhoHaveNotComeAreWaitedFor) {
  const Ranks even{0, 2, 2};
  std::vector<Seen> seen{in_group(0, even), at_experts(1), at_experts(2)};
  Standstill s = look_into(seen, one_host(3));
  EXPECT_EQ(s.waits_for, (Lists{{2}, {}, {}})) << "1 is not of the group";
  EXPECT_EQ(blamed(s), (std::vector{1, 2}));
  seen[2].now.step = 13;  // came through, and is further by now
  s = look_into(seen, one_host(3));
  EXPECT_EQ(s.waits_for, (Lists{{}, {}, {}}));
}

TEST(StuckReportTest, WithoutACauseOnThisNodeNobodyIsBlamed) {
  const Ranks all{0, 1, 4};
  const Standstill s = look_into({in_group(0, all), in_group(1, all)}, {"a", "a", "b", "b"});
  EXPECT_EQ(s.waits_for, (Lists{{}, {}}));
  EXPECT_TRUE(s.causes.empty());
  const std::string text = report(s, "h");
  EXPECT_NE(text.find("rank 1 (process 1001) waits for others of ranks 0 to 3, in step 12, task 20 statistics"),
            std::string::npos)
      << text;
  const Standstill far = look_into({in_messages(0, all, {1, 3})}, {"a", "a", "b", "b"});
  EXPECT_NE(report(far, "h").find("waits for messages of ranks 1, 3 (host b), in step 12"), std::string::npos)
      << report(far, "h");
}

TEST(StuckReportTest, WhoHasLeftIsWaitedForAndNotBlamed) {
  std::vector<Seen> seen{in_group(0, {0, 1, 2}), in_group(1, {0, 1, 2})};
  seen[1].left = true;
  const Standstill s = look_into(seen, one_host(2));
  EXPECT_EQ(s.waits_for, (Lists{{1}, {}}));
  EXPECT_TRUE(s.causes.empty());
  seen[1].state = ProcessState::dead;  // by now, as is right
  EXPECT_TRUE(look_into(seen, one_host(2)).causes.empty());
  EXPECT_NE(report(s, "h").find("  rank 1 (process 1001) has left the run\n"), std::string::npos) << report(s, "h");
}

TEST(StuckReportTest, SaysItInOneMessage) {
  std::vector<Seen> seen{in_messages(0, {0, 1, 2}, {1}), in_messages(1, {0, 1, 2}, {}, 8)};
  seen[1].state = ProcessState::stopped;
  EXPECT_EQ(
      report(look_into(seen, one_host(2)), "no rank of host a has made progress for 3 s (layout.timeout)"),
      "switchyard: no rank of host a has made progress for 3 s (layout.timeout); the job ends, resume goes on from "
      "the last checkpoint\n"
      "  rank 1 (process 1001) is stopped in step 12, task 8 dispatch_finish forward block 3 lane 0 (journey "
      "dispatch), waiting for messages of ranks 0 to 1\n"
      "  rank 0 (process 1000) waits for messages of rank 1, in step 12, task 9 dispatch_finish forward block 3 lane "
      "0 (journey dispatch)\n");
  seen[0] = at_experts(0), seen[1].state = ProcessState::dead, seen[1].now.wait = Wait::none;
  EXPECT_EQ(report(look_into(seen, one_host(2)), "a rank has died"),
            "switchyard: a rank has died; the job ends, resume goes on from the last checkpoint\n"
            "  rank 1 (process 1001) has died in step 12, task 8 dispatch_finish forward block 3 lane 0 (journey "
            "dispatch)\n"
            "  rank 0 (process 1000) is at work, in step 12, task 10 experts forward block 3 lane 0\n");
}

TEST(StuckReportTest, NamesJourneysAndParts) {
  const struct {
    Stage stage;
    Direction direction;
    const char* journey;
  } journeys[] = {{Stage::dispatch, Direction::forward, "(journey dispatch)"},
                  {Stage::combine_finish, Direction::forward, "(journey combine)"},
                  {Stage::combine, Direction::backward, "(journey combine backward)"},
                  {Stage::dispatch_finish, Direction::backward, "(journey dispatch backward)"}};
  for (const auto& [stage, direction, journey] : journeys)
    EXPECT_NE(place_of(in_task(0, 1, stage, direction, 0).now).find(journey), std::string::npos) << journey;
  EXPECT_EQ(place_of(at_experts(0).now).find("journey"), std::string::npos);
  activity::Now now;
  now.step = 20;
  std::vector<std::string> all;
  for (int part = 0; part < static_cast<int>(Part::count); ++part)
    now.part = static_cast<Part>(part), all.push_back(place_of(now));
  EXPECT_EQ(all,
            (std::vector<std::string>{"the start of the run", "step 20, before its first task",
                                      "the recording of step 20", "the evaluation after step 20",
                                      "the checkpoint after step 20", "the agreement on stopping after step 20",
                                      "the start of the segment after step 20", "the end of the run, after step 20"}));
  now.lanes = 4, now.part = Part::tasks;
  EXPECT_EQ(place_of(now), "the measurement of layout.lanes 4, step 20, before its first task");
  now.part = Part::start;
  EXPECT_EQ(place_of(now), "the measurement of layout.lanes 4, its start");
}

TEST(StuckReportTest, NamesWhatOfAJourneyIsWaitedFor) {
  Seen seen = in_messages(0, {0, 2, 2}, {2});
  const auto told = [&](activity::Hop hop, int bucket = -1) {
    seen.now.hop = hop, seen.now.bucket = bucket;
    const std::string text = place_of(seen.now);
    return text.substr(text.find('('));
  };
  EXPECT_EQ(told(activity::Hop::none), "(journey dispatch)");
  EXPECT_EQ(told(activity::Hop::rail), "(journey dispatch, between nodes)");
  EXPECT_EQ(told(activity::Hop::near), "(journey dispatch, inside the node)");
  EXPECT_EQ(told(activity::Hop::numbers), "(journey dispatch, numbers of its rows)");
  seen.now.stage = static_cast<int>(Stage::experts_here);
  EXPECT_EQ(told(activity::Hop::numbers), "(journey dispatch, numbers of its rows)");
  seen.now.stage = static_cast<int>(Stage::combine_finish), seen.now.direction = static_cast<int>(Direction::backward);
  EXPECT_EQ(told(activity::Hop::weights), "(journey combine backward, gradients of combine weights)");
  seen.now.stage = static_cast<int>(Stage::router);
  EXPECT_EQ(told(activity::Hop::weights), "(gradients of combine weights)");
  seen.now.stage = static_cast<int>(Stage::reduce_finish), seen.now.direction = static_cast<int>(Direction::step);
  EXPECT_EQ(told(activity::Hop::sums, 4), "(sums of gradients, bucket from block 4)");
  EXPECT_EQ(told(activity::Hop::sums), "(sums of gradients, bucket from the embedding)");
  seen.now.wait = Wait::none;  // it computes something between
  EXPECT_EQ(place_of(seen.now).find('('), std::string::npos);
}

TEST(StuckReportTest, ALongListIsCut) {
  std::vector<Seen> seen;
  for (int rank = 0; rank < 40; ++rank) seen.push_back(in_group(rank, {0, 1, 40}));
  seen[37].state = ProcessState::disk, seen[37].now.wait = Wait::none;
  const std::string text = report(look_into(seen, one_host(40)), "h");
  EXPECT_EQ(text.find("  rank 37 (process 1037) waits for a disk or a file system in step 12"), text.find('\n') + 1)
      << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 18) << text;
  EXPECT_NE(text.find("\n  and 24 more ranks of this host\n"), std::string::npos) << text;
  const Standstill many = look_into({in_messages(0, {0, 1, 40}, {1, 2, 3, 4, 5, 6, 7, 8})}, one_host(40));
  EXPECT_NE(report(many, "h").find("messages of ranks 1, 2, 3, 4, 5, 6, 7, 8, in"), std::string::npos)
      << report(many, "h");
}

}  // namespace
}  // namespace switchyard::train
