// T1: its losses against plain sums over all samples, its closed forms and published tables, and what tables learn of
// it.
#include "laboratory/tree_tasks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/check.hpp"
#include "base/files.hpp"
#include "laboratory/experiment.hpp"
#include "laboratory/generate.hpp"
#include "support/folder.hpp"
#include "support/refusal.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::laboratory;

/// H(answer | key, expert) from the joint distribution of all (task, key, level), by definition.
double loss_by_definition(const TreeTasks& t, const Assignment& a) {
  std::map<std::pair<int, int>, std::map<int, double>> joint;  // (expert, key) → answer → probability
  for (int z = 0; z < t.tasks(); ++z)
    for (int x = 0; x < t.keys; ++x)
      for (int l = 0; l <= t.depth; ++l)
        if (t.level_share[l] > 0.0) joint[{a[z], x}][t.answer(z, x, l)] += t.task_share[z] * t.level_share[l] / t.keys;
  double loss = 0.0;
  for (const auto& [place, answers] : joint) {
    double all = 0.0;
    for (const auto& [answer, p] : answers) all += p;
    for (const auto& [answer, p] : answers)
      if (p > 0.0) loss -= p * std::log(p / all);
  }
  return loss;
}

TEST(TreeTasks, LossesAreTheConditionalEntropy) {
  for (const char* shape : {"knee", "bend", "clark", "zipf"}) {
    const TreeTasks t = make_tasks(shape, 4, 5, 7, 3);  // few values: many answers coincide
    for (const int experts : {1, 2, 8, 16, 32}) {
      for (const Assignment& a :
           {tree_assignment(t, experts), hash_assignment(t, experts, 9), even_assignment(t, experts)})
        EXPECT_NEAR(assignment_loss(t, a), loss_by_definition(t, a), 1e-12) << shape << " " << experts;
      EXPECT_GE(assignment_loss(t, ideal_assignment(t, experts)), floor_loss(t) - 1e-12);
    }
  }
}

// Gain per doubling: ln 2 times the share of answers from levels below, exactly 0 from E = L on.
TEST(TreeTasks, GainsFollowTheShape) {
  for (const auto& [shape, gains] :
       {std::pair{"knee", std::vector{1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0}},
        std::pair{"bend", std::vector{6 / 7.0, 5 / 7.0, 4 / 7.0, 3 / 7.0, 2 / 7.0, 1 / 7.0, 0.0}},
        std::pair{"clark", std::vector{1.0, 1.0, 1.0, 3 / 4.0, 2 / 4.0, 1 / 4.0, 0.0}}}) {
    const TreeTasks t = make_tasks(shape, 6, 64, 8000, 1);
    for (std::size_t m = 0; m < gains.size(); ++m) {
      const double gain =
          assignment_loss(t, tree_assignment(t, 1 << m)) - assignment_loss(t, tree_assignment(t, 2 << m));
      EXPECT_NEAR(gain, gains[m] * std::log(2.0), gains[m] == 0.0 ? 0.0 : 0.01) << shape << " " << (1 << m);
    }
    EXPECT_NEAR(assignment_loss(t, tree_assignment(t, 64)), floor_loss(t), 1e-12);
  }
}

// The knee stands at L, wherever L is.
TEST(TreeTasks, TheKneeMovesWithL) {
  for (const int depth : {4, 6, 8}) {
    const TreeTasks t = make_tasks("bend", depth, 16, 64, 1);
    const int l = t.tasks();
    const auto loss = [&](int experts) { return assignment_loss(t, ideal_assignment(t, experts)); };
    EXPECT_EQ(loss(l), loss(2 * l)) << l;
    EXPECT_GT(loss(l / 2) - loss(l), 0.05) << l;
  }
}

// docs/science.md, "Tax of balance": excess of loads as even as whole tasks allow, as an earlier program had it, and of
// exactly equal loads, of 64 tasks of share 1/r.
TEST(TreeTasks, TheTaxOfHardBalance) {
  const TreeTasks t = make_tasks("zipf", 6, 1, 10000, 2);
  const std::vector<double> even{1.990, 1.322, 0.750, 0.296, 0, 0, 0},
      balanced{2.084, 1.580, 1.072, 0.729, 0.427, 0.233, 0.119};
  for (std::size_t i = 0; i < even.size(); ++i) {
    const int experts = 4 << i;
    EXPECT_NEAR(assignment_loss(t, even_assignment(t, experts)), even[i], 0.01) << experts;
    EXPECT_NEAR(balanced_loss(t, experts), balanced[i], 0.0006) << experts;
  }
}

TEST(TreeTasks, SamplesFollowTheShares) {
  const TreeTasks t = make_tasks("clark", 3, 4, 50, 5);
  const int n = 40000;
  std::vector<double> task(8, 0.0), level(4, 0.0), key(4, 0.0);
  for (int i = 0; i < n; ++i) {
    const Sample s = draw(t, i);
    const int l = t.first_level() + s.answer / t.values;
    EXPECT_EQ(s.answer, t.answer(s.task, s.key, l));
    task[s.task] += 1, level[l] += 1, key[s.key] += 1;
  }
  const auto expect_shares = [&](const std::vector<double>& counts, const std::vector<double>& shares) {
    for (std::size_t i = 0; i < counts.size(); ++i)
      EXPECT_NEAR(counts[i] / n, shares[i], 5 * std::sqrt(shares[i] * (1 - shares[i]) / n)) << i;
  };
  expect_shares(task, t.task_share);
  expect_shares(level, t.level_share);
  expect_shares(key, std::vector<double>(4, 0.25));
}

TEST(TreeTasks, LevelsAboveTheFirstTakeNoAnswers) {
  for (const auto& [shape, levels] : {std::pair{"bend", 5}, std::pair{"clark", 3}, std::pair{"knee", 1}}) {
    const TreeTasks t = make_tasks(shape, 4, 3, 10, 1);
    EXPECT_EQ(t.answers(), 10 * levels) << shape;
    for (int i = 0; i < 1000; ++i) {
      const int answer = draw(t, i).answer;
      EXPECT_TRUE(answer >= 0 && answer < t.answers()) << shape << " " << answer;
    }
  }
}

TEST(TreeTasks, MaxVioIsThatOfTheShares) {
  const TreeTasks even = make_tasks("bend", 2, 1, 4, 1), zipf = make_tasks("zipf", 2, 1, 4, 1);
  EXPECT_DOUBLE_EQ(max_vio(even, {0, 0, 1, 1}, 2), 0.0);
  EXPECT_DOUBLE_EQ(max_vio(even, {0, 0, 0, 1}, 4), 2.0);
  EXPECT_NEAR(max_vio(zipf, {0, 1, 1, 1}, 2), 2 * 13.0 / 25.0 - 1, 1e-12);  // shares 12, 6, 4, 3 of 25
}

TEST(TreeTasks, HashAssignmentsAreEvenAndDrawn) {
  const TreeTasks t = make_tasks("bend", 6, 2, 4, 1);
  std::vector<int> count(8, 0);
  for (const int e : hash_assignment(t, 8, 1)) ++count.at(e);
  EXPECT_EQ(count, std::vector<int>(8, 8));
  EXPECT_NE(hash_assignment(t, 8, 1), hash_assignment(t, 8, 2));
  EXPECT_THROW(hash_assignment(t, 3, 1), Error);
  EXPECT_THROW(tree_assignment(t, 3), Error);
  EXPECT_THROW(make_tasks("knees", 6, 2, 4, 1), Error);
}

// Through the token file: both routers reach their own exact losses, and nothing is gained beyond L. What is not
// learned yet is about 4 nat times facts over samples (docs/science.md, "Fewer samples").
TEST(Laboratory, TablesReachTheLossOfTheirAssignment) {
  const test::Folder folder;
  GenerateOptions options{
      .tasks = 16, .keys = 8, .values = 32, .samples = 200000, .seed = 4, .made_by = "# made\n", .out = folder / "t1"};
  generate(options);
  EXPECT_THROW(generate(options), Error);
  EXPECT_TRUE(files::read_text(folder / "t1/ideal.csv").starts_with("# made\nexperts,floor,"));
  for (const char* router : {"oracle", "hash"}) {
    std::map<int, Outcome> at;
    for (const int experts : {1, 4, 16, 32}) {
      const Outcome o = at[experts] = run_experiment({.folder = folder / "t1", .router = router}, experts);
      const double facts = 8.0 * 5.0 * std::min(experts, 16);
      EXPECT_GT(o.trained, o.assignment);
      EXPECT_LT(o.trained - o.assignment, std::max(0.012, 6.0 * facts / 200000)) << router << " " << experts;
      EXPECT_GE(o.assignment, o.ideal - 1e-12);
    }
    EXPECT_LT(at[16].trained - at[32].trained, 0.003) << router;
    EXPECT_GT(at[4].trained - at[16].trained, 0.2) << router;
  }
  EXPECT_THROW(generate({.shape = "nice", .out = folder / "nice"}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "nice.tmp"));
  EXPECT_THROW(generate({.samples = 715827883, .out = folder / "more"}), Error);  // 2^31 tokens and one
  EXPECT_THROW(run_experiment({.folder = folder / "t1", .router = "best"}, 4), Error);
  EXPECT_THROW(run_experiment({.folder = folder / "t1", .samples = 200001}, 4), Error);
  EXPECT_THROW(run_experiment({.folder = folder / "none"}, 4), Error);
}

// Cumulative shares, the heaviest task first: expert e takes what lies in [e/E, (e+1)/E).
TEST(TreeTasks, BalancedLossIsThatOfEqualIntervals) {
  for (const auto& [shape, depth] :
       {std::pair{"zipf", 1}, std::pair{"zipf", 6}, std::pair{"zipf", 12}, std::pair{"knee", 5}}) {
    const TreeTasks t = make_tasks(shape, depth, 1, 10000, 2);
    std::vector<long double> edge{0.0L};
    long double sum = 0.0L;
    for (int z = 0; z < t.tasks(); ++z) sum += shape == std::string("zipf") ? 1.0L / (z + 1) : 1.0L;
    for (int z = 0; z < t.tasks(); ++z)
      edge.push_back(edge.back() + (shape == std::string("zipf") ? 1.0L / (z + 1) : 1.0L) / sum);
    for (const int experts : {1, 2, 3, 16, 100, 16 << depth}) {
      long double loss = 0.0L;
      std::size_t z = 0;
      for (int e = 0; e < experts; ++e) {
        const long double low = 1.0L * e / experts, high = 1.0L * (e + 1) / experts;
        while (z > 0 && edge[z] > low) --z;
        for (; z + 1 < edge.size() && edge[z] < high; ++z)
          if (const long double part = std::min(high, edge[z + 1]) - std::max(low, edge[z]); part > 1e-15L)
            loss -= part * std::log(part * experts);
      }
      EXPECT_NEAR(balanced_loss(t, experts), static_cast<double>(loss), 1e-9) << shape << depth << " " << experts;
    }
  }
}

// All ways to give 8 tasks to E experts, the first task to the first one: none is better than the ideal one, whatever
// the shape; with shares 1/r the largest load is at most 4/3 - 1/(3E) times the least possible (Graham 1969).
TEST(TreeTasks, NoAssignmentIsBetterThanTheIdealOne) {
  for (const char* shape : {"knee", "bend", "clark", "zipf"})
    for (const int experts : {2, 4}) {
      const TreeTasks t = make_tasks(shape, 3, 1, 16000, 7);
      double best = 1e9, least = 1e9;
      for (int code = 0; code < (experts == 2 ? 256 : 65536); code += experts) {
        Assignment a;
        for (int z = 0; z < 8; ++z) a.push_back(code >> (z * experts / 2) & (experts - 1));
        best = std::min(best, assignment_loss(t, a)), least = std::min(least, max_vio(t, a, experts) + 1);
      }
      const Assignment ideal = ideal_assignment(t, experts);
      EXPECT_NEAR(assignment_loss(t, ideal), best, shape == std::string("zipf") ? 0.05 : 1e-12) << shape << experts;
      EXPECT_LE(max_vio(t, even_assignment(t, experts), experts) + 1, least * (4 / 3.0 - 1 / (3.0 * experts)) + 1e-12);
    }
}

// A task's answer of a level is that of every task below the same node, and of no other node but by chance.
TEST(TreeTasks, AnswersAreThoseOfTheNodesAbove) {
  const TreeTasks t = make_tasks("clark", 5, 40, 50, 3);
  for (int level = t.first_level(); level <= 5; ++level) {
    int alike = 0, pairs = 0;
    for (int a = 0; a < 32; ++a)
      for (int b = 0; b < a; ++b)
        for (int key = 0; key < t.keys; ++key) {
          const bool same = t.answer(a, key, level) == t.answer(b, key, level);
          if (a >> (5 - level) == b >> (5 - level))
            EXPECT_TRUE(same) << a << " " << b << " " << level;
          else
            alike += same, ++pairs;
        }
    EXPECT_NEAR(alike / double(pairs), 1 / 50.0, 0.02) << level;
  }
}

TEST(TreeTasks, MoreExpertsThanTasksHoldOneEach) {
  const TreeTasks t = make_tasks("zipf", 4, 2, 4, 1);
  for (const int experts : {16, 32, 48}) {  // multiples of the tasks
    const Assignment a = hash_assignment(t, experts, 5);
    EXPECT_EQ(std::set<int>(a.begin(), a.end()).size(), 16u) << experts;
  }
  for (const int experts : {-1, 0})
    for (const auto& assign : {tree_assignment, even_assignment, ideal_assignment})
      EXPECT_EQ(test::refusal([&] { assign(t, experts); }).substr(0, 10), "2 experts ") << experts;
}

}  // namespace
