// Lists of tasks as text, where they are short.
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "schedule/lists.hpp"

namespace switchyard::schedule {
namespace {

/// The tasks of a list from one to another, both included.
std::string part_of(const Config& c, const std::string& first, const std::string& last) {
  const std::string line = line_of(make_tasks(c));
  const std::size_t begin = line.find(first), end = line.find(last, begin);
  return line.substr(begin, end + last.size() - begin);
}

// While the rows of one lane are away the experts work on those of another; interleaved, everything does.
TEST(Lists, OfTwoLanesAsText) {
  Config c = model({4, 4});
  c.layout.lanes = 2, c.layout.schedule = ScheduleKind::pipelined;
  EXPECT_EQ(part_of(c, "attention>0", "attention>1"),
            "attention>0 feed_forward>0 router>0 plan>0 dispatch>0 attention>0.1 feed_forward>0.1 router>0.1 plan>0.1 "
            "dispatch>0.1 dispatch_finish>0 experts>0 combine>0 dispatch_finish>0.1 experts>0.1 combine>0.1 "
            "combine_finish>0 combine_finish>0.1 attention>1");
  EXPECT_EQ(part_of(c, "combine<1", "combine<0"),
            "combine<1 combine<1.1 combine_finish<1 experts<1 dispatch<1 combine_finish<1.1 experts<1.1 dispatch<1.1 "
            "expert_weights<1 router<1 dispatch_finish<1 feed_forward<1 attention<1 router<1.1 dispatch_finish<1.1 "
            "feed_forward<1.1 attention<1.1 combine<0");
  c.layout.schedule = ScheduleKind::interleaved;
  EXPECT_EQ(
      part_of(c, "combine>0 ", "combine>1"),
      "combine>0 dispatch_finish>0.1 experts>0.1 combine>0.1 combine_finish>0 attention>1 feed_forward>1 router>1 "
      "plan>1 dispatch>1 combine_finish>0.1 attention>1.1 feed_forward>1.1 router>1.1 plan>1.1 dispatch>1.1 "
      "dispatch_finish>1 experts>1 combine>1");
  EXPECT_EQ(
      part_of(c, "expert_weights<1", "expert_weights<0"),
      "expert_weights<1 router<1 dispatch_finish<1 feed_forward<1 attention<1 combine<0 router<1.1 dispatch_finish<1.1 "
      "feed_forward<1.1 attention<1.1 combine<0.1 combine_finish<0 experts<0 dispatch<0 combine_finish<0.1 "
      "experts<0.1 dispatch<0.1 expert_weights<0");
}

// While the rows of a lane are away its experts work on those that stay, and only where some can be away.
TEST(Lists, OfRowsThatStayAsText) {
  Config c = model({4});
  c.layout.local_first = true;
  EXPECT_EQ(part_of(c, "plan>0", "head>"),
            "plan>0 dispatch>0 experts_here>0 dispatch_finish>0 experts>0 combine>0 combine_finish>0 head>");
  EXPECT_EQ(part_of(c, "head<", "router<0"),
            "head< combine<0 experts_here<0 combine_finish<0 experts<0 dispatch<0 router<0");
  c.layout.lanes = 2, c.layout.schedule = ScheduleKind::pipelined, c.layout.recompute = Recompute::experts;
  EXPECT_EQ(part_of(c, "dispatch>0.1", "combine_finish>0"),
            "dispatch>0.1 experts_here>0 dispatch_finish>0 experts>0 combine>0 experts_here>0.1 dispatch_finish>0.1 "
            "experts>0.1 combine>0.1 combine_finish>0");
  EXPECT_EQ(part_of(c, "combine<0", "experts<0"),
            "combine<0 experts^0 combine<0.1 experts^0.1 experts_here<0 combine_finish<0 experts<0");
  Config alone = c, without = c;
  alone.layout.expert_parallel = without.layout.expert_parallel = 1, without.layout.local_first = false;
  EXPECT_EQ(line_of(make_tasks(alone)), line_of(make_tasks(without)));
}

/// One whose optimizer is shared out.
Config sharded(std::vector<int> experts) {
  Config c = model(std::move(experts));
  c.layout.zero = 1;
  return c;
}

TEST(Lists, AsText) {
  const std::pair<Config, const char*> cases[] = {
      {model({0}),
       "data embedding> attention>0 feed_forward>0 head> statistics head< feed_forward<0 attention<0 embedding< reduce "
       "reduce_finish norm optimizer balance"},
      {model({2}, 1),
       "data embedding> attention>0 feed_forward>0 router>0 plan>0 dispatch>0 dispatch_finish>0 experts>0 combine>0 "
       "combine_finish>0 shared>0 head> statistics head< combine<0 combine_finish<0 experts<0 dispatch<0 router<0 "
       "dispatch_finish<0 shared<0 feed_forward<0 attention<0 expert_weights<0 embedding< reduce reduce_finish "
       "norm optimizer balance"},
      {model({3, 0}),
       "data embedding> attention>0 feed_forward>0 router>0 plan>0 dispatch>0 dispatch_finish>0 experts>0 combine>0 "
       "combine_finish>0 attention>1 feed_forward>1 head> statistics head< feed_forward<1 attention<1 combine<0 "
       "combine_finish<0 experts<0 dispatch<0 router<0 dispatch_finish<0 feed_forward<0 attention<0 expert_weights<0 "
       "embedding< reduce reduce_finish norm optimizer balance"},
      {sharded({0}),
       "data embedding> attention>0 feed_forward>0 head> statistics head< feed_forward<0 attention<0 embedding< reduce "
       "reduce_finish norm optimizer gather balance"}};
  for (const auto& [config, text] : cases) EXPECT_EQ(line_of(make_tasks(config)), text);
}

TEST(Stages, CountInThePhaseOfTheirRoom) {
  const std::map<std::string, std::string> other{
      {"dispatch_finish", "dispatch"}, {"combine_finish", "combine"}, {"shared", "experts"},
      {"experts_here", "experts"},     {"expert_weights", "experts"}, {"statistics", "balance"},
      {"reduce_finish", "reduce"},     {"norm", "optimizer"},         {"gather", "reduce"}};
  for (int s = 0; s < static_cast<int>(Stage::count); ++s) {
    const std::string name = name_of(static_cast<Stage>(s));
    EXPECT_EQ(phase_names().at(static_cast<std::size_t>(phase_of(static_cast<Stage>(s)))),
              other.contains(name) ? other.at(name) : name);
  }
}

TEST(TextOf, SaysWhatIsThere) {
  const std::tuple<int, Task, const char*> cases[] = {
      {0, {Stage::data, Direction::step, -1, 0, 0, {}}, "0 data lane 0"},
      {12, {Stage::dispatch, Direction::backward, 3, 1, 2, {9, 11}}, "12 dispatch backward block 3 lane 1 after 9 11"},
      {7, {Stage::reduce, Direction::step, 4, 0, 1, {6}}, "7 reduce block 4 lane 0 after 6"},
      {3, {Stage::head, Direction::forward, -1, 2, 0, {0, -5}}, "3 head forward lane 2 after 0 -5"}};
  for (const auto& [number, task, text] : cases) EXPECT_EQ(text_of(number, task), text);
}

}  // namespace
}  // namespace switchyard::schedule
