// What is done again on the way back: which stages of which blocks, after all that they read and before all that reads
// them, in memory that positions share; and nothing else in a list changes. Models at random from one seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "schedule/lists.hpp"
#include "support/kinds.hpp"

namespace switchyard::schedule {
namespace {

using Places = std::map<std::string, int>;

std::string at(const char* stage, int block, int lane) { return stage + std::to_string(block) + in_lane(lane); }

/// What of a block is done again, by hand.
std::string again_of(const Config& c, int block) {
  const std::vector<int>& of = c.layout.recompute_blocks;
  const bool mixture = c.block_experts(block) > 0, meant = of.empty() || std::count(of.begin(), of.end(), block) > 0;
  if (!meant || c.layout.recompute == Recompute::none) return "";
  if (c.layout.recompute == Recompute::experts) return mixture ? "experts^" : "";
  return std::string("attention^ feed_forward^") + (mixture ? " router^ experts^" : "") +
         (mixture && c.moe.shared_experts > 0 ? " shared^" : "");
}

// Of one block and lane. Rows travel between combine< and combine_finish<, and all that is done again meanwhile.
constexpr std::pair<const char*, const char*> order[] = {
    {"attention^", "feed_forward^"},   {"feed_forward^", "router^"},   {"feed_forward^", "experts^"},
    {"feed_forward^", "shared^"},      {"combine<", "attention^"},     {"combine<", "experts^"},
    {"experts^", "combine_finish<"},   {"router^", "combine_finish<"}, {"shared^", "combine_finish<"},
    {"experts^", "experts_here<"},     {"combine<", "experts_here<"},  {"experts_here<", "combine_finish<"},
    {"feed_forward^", "feed_forward<"}};

void expect_before(const Places& places, const std::string& first, const std::string& second) {
  if (places.contains(first) && places.contains(second)) {
    EXPECT_LT(places.at(first), places.at(second)) << first << " is not before " << second;
  }
}

/// Whether a task comes after another one by what tasks wait for, in whatever queues they are.
bool waits_for(const std::vector<Task>& tasks, int task, int other) {
  std::vector<int> open{task};
  std::set<int> seen;
  while (!open.empty()) {
    const int next = open.back();
    open.pop_back();
    if (next == other) return true;
    for (const int before : tasks[next].after)
      if (before >= other && seen.insert(before).second) open.push_back(before);
  }
  return false;
}

/// What is done again of a block stands where that of the ones behind it stood: of a lane until the lane is through,
/// and rows of experts, of all lanes in one memory, until the gradients of their weights are there.
void check_memory(const Config& c, const std::vector<Task>& tasks, const Places& places, int number) {
  const Task& t = tasks[number];
  for (int b = t.block + 1; b < c.model.blocks; ++b) {
    expect_before(places, at("attention<", b, t.lane), words_of({t})[0]);
    if (c.block_experts(b) == 0 || again_of(c, b).empty()) continue;
    EXPECT_TRUE(waits_for(tasks, number, places.at("expert_weights<" + std::to_string(b)))) << words_of({t})[0];
  }
}

void check_list(const Config& c, const std::vector<Task>& tasks) {
  EXPECT_EQ(fault_in(tasks), "");
  Places places;
  std::vector<std::string> again, expected;
  for (int i = 0; i < std::ssize(tasks); ++i) {
    const std::string w = words_of({tasks[i]})[0];
    EXPECT_TRUE(places.emplace(w, i).second) << w << " twice";
    if (tasks[i].direction == Direction::recompute) again.push_back(w);
  }
  for (int b = 0; b < c.model.blocks; ++b)
    for (int lane = 0; lane < c.layout.lanes; ++lane) {
      std::istringstream stages(again_of(c, b));
      for (std::string s; stages >> s;) expected.push_back(at(s.c_str(), b, lane));
      for (const auto& [first, second] : order) expect_before(places, at(first, b, lane), at(second, b, lane));
    }
  std::sort(again.begin(), again.end()), std::sort(expected.begin(), expected.end());
  EXPECT_EQ(again, expected);
  for (int i = 0; i < std::ssize(tasks); ++i)
    if (tasks[i].direction == Direction::recompute) check_memory(c, tasks, places, i);
}

/// The words of a list without what is done again.
std::vector<std::string> without_again(std::vector<Task> tasks) {
  std::erase_if(tasks, [](const Task& t) { return t.direction == Direction::recompute; });
  return words_of(tasks);
}

TEST(Recompute, AddsToAnyListWhatIsMeantAndNothingElse) {
  std::mt19937 random(31);
  const auto one_of = [&](std::vector<int> of) { return of[random() % of.size()]; };
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<int> experts(1 + random() % 6);
    for (int& e : experts) e = one_of({0, 0, 1, 2, 64});
    Config c = model(experts, one_of({0, 1}));
    c.model.width = one_of({16, 1024}), c.model.hidden = one_of({32, 4096});
    c.layout.local_first = random() % 2;
    for (int b = 0; b < c.model.blocks; ++b)
      if (random() % 3 == 0) c.layout.recompute_blocks.push_back(b);
    for (const ScheduleKind schedule : test::all_of<ScheduleKind>())
      for (const int lanes : {1, 2, 4}) {
        SCOPED_TRACE(test::name_of(schedule) + " of " + std::to_string(lanes));
        c.layout.schedule = schedule, c.layout.lanes = lanes, c.layout.recompute = Recompute::none;
        const auto kept = words_of(make_tasks(c)), pass = words_of(forward_pass(c));
        for (const Recompute recompute : test::all_of<Recompute>()) {
          c.layout.recompute = recompute;
          check_list(c, make_tasks(c));
          EXPECT_EQ(without_again(make_tasks(c)), kept);
          EXPECT_EQ(words_of(forward_pass(c)), pass);
        }
      }
  }
}

/// The tasks of a list from one to another, both included.
std::string part_of(const Config& c, const std::string& first, const std::string& last) {
  const std::string line = line_of(make_tasks(c));
  const std::size_t begin = line.find(first), end = line.find(last, begin);
  return line.substr(begin, end + last.size() - begin);
}

TEST(Recompute, AsText) {
  Config c = model({2, 0}, 1);
  c.layout.recompute = Recompute::blocks;
  EXPECT_EQ(part_of(c, "head<", "embedding<"),
            "head< attention^1 feed_forward^1 feed_forward<1 attention<1 combine<0 attention^0 feed_forward^0 router^0 "
            "experts^0 shared^0 combine_finish<0 experts<0 dispatch<0 router<0 dispatch_finish<0 shared<0 "
            "feed_forward<0 attention<0 expert_weights<0 embedding<");
  c.layout.recompute_blocks = {1};
  EXPECT_EQ(part_of(c, "head<", "combine<0"), "head< attention^1 feed_forward^1 feed_forward<1 attention<1 combine<0");
  c.layout.recompute = Recompute::experts;
  EXPECT_EQ(part_of(c, "head<", "combine_finish<0"), "head< feed_forward<1 attention<1 combine<0 combine_finish<0");
  c.layout.recompute_blocks = {};
  EXPECT_EQ(part_of(c, "combine<0", "experts<0"), "combine<0 experts^0 combine_finish<0 experts<0");
  c.layout.lanes = 2, c.layout.schedule = ScheduleKind::pipelined;
  EXPECT_EQ(part_of(c, "combine<0", "experts<0.1"),
            "combine<0 experts^0 combine<0.1 experts^0.1 combine_finish<0 experts<0 dispatch<0 combine_finish<0.1 "
            "experts<0.1");
}

TEST(Recompute, IsADirectionThatAMessageNames) {
  EXPECT_EQ(text_of(9, {Stage::experts, Direction::recompute, 3, 1, 0, {7, 8}}),
            "9 experts recompute block 3 lane 1 after 7 8");
}

}  // namespace
}  // namespace switchyard::schedule
