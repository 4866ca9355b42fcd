// What every list must keep, whatever the model: each stage of each block once in each direction and lane, after
// all that it reads from; sums of gradients begun once, when the last of their bucket is there. Models at random from
// one seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <sstream>

#include "config/architecture.hpp"
#include "schedule/lists.hpp"
#include "support/kinds.hpp"

namespace switchyard::schedule {
namespace {

/// "router> combine<": what a block has, an order of its own for each direction left open.
std::vector<std::string> stages_of(const Config& c, int block) {
  std::string stages = "attention> feed_forward> feed_forward< attention<";
  if (c.block_experts(block) > 0)
    stages +=
        " router> plan> dispatch> dispatch_finish> experts> combine> combine_finish>"
        " combine< combine_finish< experts< dispatch< router< dispatch_finish<";
  if (c.block_experts(block) > 0 && c.moe.shared_experts > 0) stages += " shared> shared<";
  if (c.block_experts(block) > 0 && c.layout.local_first && c.layout.expert_parallel != 1)
    stages += " experts_here> experts_here<";
  std::istringstream in(stages);
  std::vector<std::string> words;
  for (std::string w; in >> w;) words.push_back(w + std::to_string(block));
  return words;
}

// Of one block: what a task reads is done before it. Forward the norm of the network feeds router, rows and shared
// experts; backwards a gradient passes the same way back, and the router's waits for those of the combine weights.
constexpr std::pair<const char*, const char*> reads[] = {{"attention>", "feed_forward>"},
                                                         {"feed_forward>", "router>"},
                                                         {"feed_forward>", "shared>"},
                                                         {"router>", "plan>"},
                                                         {"plan>", "dispatch>"},
                                                         {"dispatch>", "dispatch_finish>"},
                                                         {"dispatch>", "experts_here>"},
                                                         {"experts_here>", "dispatch_finish>"},
                                                         {"combine<", "experts_here<"},
                                                         {"experts_here<", "combine_finish<"},
                                                         {"dispatch_finish>", "experts>"},
                                                         {"experts>", "combine>"},
                                                         {"combine>", "combine_finish>"},
                                                         {"combine<", "combine_finish<"},
                                                         {"combine_finish<", "experts<"},
                                                         {"experts<", "dispatch<"},
                                                         {"dispatch<", "dispatch_finish<"},
                                                         {"combine_finish<", "router<"},
                                                         {"router<", "feed_forward<"},
                                                         {"dispatch_finish<", "feed_forward<"},
                                                         {"shared<", "feed_forward<"},
                                                         {"feed_forward<", "attention<"}};

using Places = std::map<std::string, int>;

/// Where each task is; each stands once.
Places places_of(const std::vector<Task>& tasks) {
  Places places;
  const auto words = words_of(tasks);
  for (std::size_t i = 0; i < words.size(); ++i)
    EXPECT_TRUE(places.emplace(words[i], static_cast<int>(i)).second) << words[i] << " twice in " << line_of(tasks);
  return places;
}

void expect_before(const Places& places, const std::string& first, const std::string& second) {
  if (places.contains(first) && places.contains(second)) {
    EXPECT_LT(places.at(first), places.at(second)) << first << " is not before " << second;
  }
}

/// Elements of the gradients of a block from the shapes in docs/conventions, by hand: no bias anywhere.
std::int64_t elements(const Config& c, int block) {
  const std::int64_t matrices = c.model.activation == Activation::swiglu ? 3 : 2;  // gate, up, down
  const std::int64_t d = c.model.width, kv = c.model.kv_heads ? d / c.model.heads * c.model.kv_heads : d;
  if (block == -1) return c.model.vocabulary * d * (c.model.tied ? 2 : 1);  // of a tied one both sources
  if (block == c.model.blocks) return d + (c.model.tied ? 0 : c.model.vocabulary * d);
  const std::int64_t attention = 2 * d + 2 * d * d + 2 * kv * d, e = c.block_experts(block);
  if (e == 0) return attention + matrices * c.model.hidden * d;
  return attention + e * d + matrices * (e + c.moe.shared_experts) * c.moe.hidden * d;
}

/// Blocks with which a bucket begins, the last one first: from behind, each takes blocks until it has 1,048,576.
std::vector<int> bucket_begins(const Config& c) {
  std::vector<int> begins;
  std::int64_t held = 0;
  for (int b = c.model.blocks; b >= -1; --b) {
    held += elements(c, b);
    if (held >= 1048576 || b == -1) begins.push_back(b), held = 0;
  }
  return begins;
}

/// The sums of a bucket begin when its first block is through in all lanes; interleaved ones have begun the next by
/// then.
void check_reduction(const Config& c, const std::vector<Task>& tasks) {
  const bool interleaved = c.layout.schedule == ScheduleKind::interleaved;
  std::vector<int> begins;
  int done = c.model.blocks + 1;  // the last block whose backward pass was met
  for (const Task& t : tasks) {
    if (t.direction == Direction::backward)
      done = t.stage == Stage::head ? c.model.blocks : t.stage == Stage::embedding ? -1 : t.block;
    if (t.stage != Stage::reduce) continue;
    EXPECT_EQ(done, interleaved && t.block >= 0 ? t.block - 1 : t.block) << line_of(tasks);
    begins.push_back(t.block);
  }
  EXPECT_EQ(begins, bucket_begins(c)) << line_of(tasks);
}

/// Lanes add to one sum in their order; the weights of experts have their gradients after all lanes and before these
/// are summed over ranks.
void check_lanes(const Config& c, const std::vector<Task>& tasks, const Places& places) {
  for (const Task& t : tasks) {
    const std::string w = word(name_of(t.stage), t.direction, t.block);
    if (t.lane > 0) expect_before(places, w + in_lane(t.lane - 1), w + in_lane(t.lane));
    if (t.stage != Stage::expert_weights) continue;
    for (int l = 0; l < c.layout.lanes; ++l)
      expect_before(places, word("experts", Direction::backward, t.block) + in_lane(l), w);
    for (const int b : bucket_begins(c))
      if (b <= t.block) {
        expect_before(places, w, word("reduce", Direction::step, b));
        break;
      }
  }
}

/// What a lane reads is done before it.
void check_lane(const Config& c, const Places& places, int number) {
  const std::string lane = in_lane(number);
  for (int b = 0; b < c.model.blocks; ++b) {
    const std::string n = std::to_string(b), next = std::to_string(b + 1);
    for (const auto& [first, second] : reads) expect_before(places, first + n + lane, second + n + lane);
    for (const std::string& w : stages_of(c, b)) {
      const bool forward = w.find('>') != std::string::npos;
      expect_before(places, (forward ? w : "attention<" + next) + lane, (forward ? "attention>" + next : w) + lane);
      expect_before(places, (forward ? "embedding>" : "head<") + lane, w + lane);
      expect_before(places, w + lane, (forward ? "head>" : "embedding<") + lane);
    }
  }
  const bool last_wave = number >= c.layout.lanes - c.layout.lanes / c.layout.waves;
  const std::string before_head = last_wave ? "statistics" : "head>" + lane;
  expect_before(places, "head>" + lane, "statistics");
  const std::string frame[] = {"data",      "embedding>" + lane, "head>" + lane,
                               before_head, "head<" + lane,      "embedding<" + lane,
                               "norm",      "optimizer",         "balance"};
  for (std::size_t i = 0; i + 1 < std::size(frame); ++i)
    if (frame[i] != frame[i + 1]) expect_before(places, frame[i], frame[i + 1]);
  expect_before(places, "optimizer", "gather");  // what has been updated
}

/// A wave goes forward beside the way back of the one before: between the first and the last task of the one there are
/// tasks of the other, and no third wave is on its way. Where the schedule works while rows travel, it does so on both.
void check_waves(const Config& c, const std::vector<Task>& tasks) {
  const int of_wave = c.layout.lanes / c.layout.waves;
  for (int wave = 1; wave < c.layout.waves; ++wave) {
    const auto forward = [&](const Task& t) { return t.direction == Direction::forward && t.lane / of_wave == wave; };
    const auto back = [&](const Task& t) {
      return (t.direction == Direction::backward && t.stage != Stage::expert_weights) && t.lane / of_wave == wave - 1;
    };
    const auto first = std::find_if(tasks.begin(), tasks.end(), forward);
    const auto last = std::find_if(tasks.rbegin(), tasks.rend(), forward).base();
    EXPECT_TRUE(std::all_of(first, last, [&](const Task& t) { return forward(t) || back(t); })) << line_of(tasks);
    EXPECT_GT(std::count_if(first, last, back), 0) << line_of(tasks);
    EXPECT_EQ(std::count_if(first, last, back) + std::count_if(last, tasks.end(), back),
              std::count_if(tasks.begin(), tasks.end(), back));
    for (auto left = first; c.layout.schedule != ScheduleKind::serial && left != last; ++left) {
      if (!forward(*left) || left->stage != Stage::dispatch) continue;
      const auto there = std::find_if(left, last, [&](const Task& t) {
        return forward(t) && t.stage == Stage::dispatch_finish && t.block == left->block && t.lane == left->lane;
      });
      EXPECT_TRUE(std::any_of(left, there, back)) << "block " << left->block << " of " << line_of(tasks);
    }
  }
}

void check_list(const Config& c, const std::vector<Task>& tasks) {
  EXPECT_EQ(fault_in(tasks), "");
  const Places places = places_of(tasks);
  std::vector<std::string> once{"data", "statistics", "reduce_finish", "norm", "optimizer", "balance"},
      wanted{"embedding>", "head>", "head<", "embedding<"};
  if (c.layout.zero == 1) once.push_back("gather");
  for (const int b : bucket_begins(c)) once.push_back(word("reduce", Direction::step, b));
  for (int b = 0; b < c.model.blocks; ++b) {
    for (const std::string& w : stages_of(c, b)) wanted.push_back(w);
    if (c.block_experts(b) > 0) once.push_back(word("expert_weights", Direction::backward, b));
  }
  for (int l = 0; l < c.layout.lanes; ++l)
    for (const std::string& w : wanted) once.push_back(w + in_lane(l));
  std::vector<std::string> found;
  for (const auto& [w, at] : places) found.push_back(w);
  std::sort(once.begin(), once.end());
  EXPECT_EQ(found, once);
  for (int l = 0; l < c.layout.lanes; ++l) check_lane(c, places, l);
  for (const int b : bucket_begins(c)) expect_before(places, word("reduce", Direction::step, b), "reduce_finish");
  expect_before(places, "reduce_finish", "norm");
  check_reduction(c, tasks);
  check_lanes(c, tasks, places);
  check_waves(c, tasks);
}

void check_lists(Config c) {
  for (const ScheduleKind schedule : test::all_of<ScheduleKind>())
    for (const auto& [lanes, waves] : {std::pair(1, 1), {2, 1}, {2, 2}, {4, 1}, {4, 2}, {4, 4}, {8, 2}}) {
      c.layout.zero = 1 - c.layout.zero;
      SCOPED_TRACE(test::name_of(schedule) + " of " + std::to_string(lanes) + " in " + std::to_string(waves));
      c.layout.schedule = schedule, c.layout.lanes = lanes, c.layout.waves = waves;
      check_list(c, make_tasks(c));
    }
}

TEST(Lists, KeepTheOrderOfWhatIsRead) {
  std::mt19937 random(29);
  const auto one_of = [&](std::vector<int> of) { return of[random() % of.size()]; };
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<int> experts(1 + random() % 7);
    for (int& e : experts) e = one_of({0, 0, 1, 2, 7, 64});
    Config c = model(experts, one_of({0, 1, 2}));
    c.model.width = one_of({16, 512, 1024}), c.model.hidden = one_of({32, 1024, 4096}), c.moe.hidden = one_of({8, 512});
    c.model.vocabulary = one_of({40, 257, 4095, 4096, 50000}), c.model.tied = random() % 2;
    c.model.kv_heads = one_of({0, 1, 2, 4});
    c.layout.local_first = random() % 2, c.layout.expert_parallel = one_of({0, 1, 4});
    c.model.activation = random() % 2 ? Activation::swiglu : Activation::gelu;
    check_lists(c);
    const auto step = words_of(make_tasks(c)), pass = words_of(forward_pass(c));
    EXPECT_EQ(pass, std::vector<std::string>(step.begin() + 1, step.begin() + 1 + std::ssize(pass)));
    EXPECT_EQ(pass.back(), "statistics");
    EXPECT_EQ(fault_in(forward_pass(c)), "");
  }
}

/// "2 0 -1": where the buckets of a model begin.
std::string buckets(const Config& c) {
  std::string text;
  for (const Task& t : make_tasks(c))
    if (t.stage == Stage::reduce) text.append(text.empty() ? "" : " ").append(std::to_string(t.block));
  return text;
}

// An untied head of width 512 has 512 · (V + 1) elements, its norm included: a bucket of 512 · 2048 is full.
TEST(Buckets, EndWhereTheyAreFull) {
  Config c = model({0, 0});
  c.model.width = 512, c.model.hidden = 1, c.model.kv_heads = 1, c.model.tied = false;
  c.model.activation = Activation::swiglu;
  for (const auto& [vocabulary, wanted] :
       {std::pair(2046, "1 -1"), std::pair(2047, "2 0 -1"), std::pair(2048, "2 0 -1")}) {
    c.model.vocabulary = vocabulary;
    EXPECT_EQ(buckets(c), wanted) << vocabulary;
    check_lists(c);
  }
  c.model.vocabulary = 10;
  EXPECT_EQ(buckets(c), "0 -1");  // a block of 512 has 656 thousand, so two make a bucket
  c.model.hidden = 256;
  EXPECT_EQ(buckets(c), "1 0 -1");
}

// Every two numbers that two tasks of five may wait for: the list is sound where both are before the task.
TEST(FaultIn, NamesTheFirstTaskThatIsTooEarly) {
  EXPECT_EQ(fault_in({}), "");
  for (int a = 0; a < 5; ++a)
    for (int b = 0; b < 5; ++b)
      for (int of_a = -2; of_a < 7; ++of_a)
        for (int of_b = -2; of_b < 7; ++of_b) {
          std::vector<Task> tasks(5, Task{Stage::experts, Direction::forward, 1, 0, 0, {}});
          tasks[a].after.push_back(of_a), tasks[b].after.push_back(of_b);
          int first = 5;
          if (of_a < 0 || of_a >= a) first = a;
          if (of_b < 0 || of_b >= b) first = std::min(first, b);
          const std::string fault = fault_in(tasks);
          EXPECT_EQ(fault, first == 5 ? "" : text_of(first, tasks[first]) + ": waits for what has not been done");
        }
}

}  // namespace
}  // namespace switchyard::schedule
