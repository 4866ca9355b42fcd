#include "laboratory/tree_tasks.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.hpp"
#include "laboratory/random.hpp"

namespace switchyard::laboratory {
namespace {

/// The first index whose running sum passes u.
int pick(const std::vector<double>& share, double u) {
  double sum = 0.0;
  for (std::size_t i = 0; i + 1 < share.size(); ++i)
    if (u < (sum += share[i])) return static_cast<int>(i);
  return static_cast<int>(share.size()) - 1;
}

double entropy(const std::vector<double>& share) {
  double sum = 0.0;
  for (const double p : share)
    if (p > 0.0) sum -= p * std::log(p);
  return sum;
}

std::vector<double> normalised(std::vector<double> share) {
  const double sum = std::accumulate(share.begin(), share.end(), 0.0);
  for (double& p : share) p /= sum;
  return share;
}

int expert_of(const Assignment& assignment, int task) { return assignment[static_cast<std::size_t>(task)]; }

/// The expert of the i-th of the tasks, where each takes as many as the others, one after another.
int place_of(const TreeTasks& t, int i, int experts) { return i / std::max(1, t.tasks() / experts); }

/// What the maps of a level's nodes give for a key.
std::vector<int> node_answers(const TreeTasks& t, int key, int level) {
  std::vector<int> answers;
  for (int node = 0; node < 1 << level; ++node) answers.push_back(t.answer(node << (t.depth - level), key, level));
  return answers;
}

/// How the tasks of an expert share the answers to a key.
class AnswerShares {
 public:
  explicit AnswerShares(const TreeTasks& t) : t_(t), sum_(static_cast<std::size_t>(t.answers()), 0.0) {}
  void add(int answer, int task) {
    double& sum = sum_[static_cast<std::size_t>(answer)];
    if (sum == 0.0) given_.push_back(answer);
    sum += t_.task_share[static_cast<std::size_t>(task)];
  }
  /// Load times entropy, nat; empties it.
  double take_uncertainty() {
    std::sort(given_.begin(), given_.end());
    std::vector<double> parts;
    for (const int answer : given_) parts.push_back(std::exchange(sum_[static_cast<std::size_t>(answer)], 0.0));
    given_.clear();
    if (parts.size() == 1) return 0.0;
    const double load = std::accumulate(parts.begin(), parts.end(), 0.0);
    return load * entropy(normalised(std::move(parts)));
  }

 private:
  const TreeTasks& t_;
  std::vector<double> sum_;  // by answer
  std::vector<int> given_;
};

/// Tasks, the heaviest first.
std::vector<int> by_share(const TreeTasks& tasks) {
  std::vector<int> order(static_cast<std::size_t>(tasks.tasks()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return tasks.task_share[a] > tasks.task_share[b]; });
  return order;
}

}  // namespace

int TreeTasks::first_level() const {
  const auto giving = [](double share) { return share > 0.0; };
  return static_cast<int>(std::find_if(level_share.begin(), level_share.end(), giving) - level_share.begin());
}

int TreeTasks::answer(int task, int key, int level) const {
  const auto node = static_cast<std::uint32_t>((1 << level) + (task >> (depth - level)));  // heap order
  return (level - first_level()) * values +
         below(block(seed, Draw::map, node, static_cast<std::uint32_t>(key)).v[0], values);
}

TreeTasks make_tasks(const std::string& shape, int depth, int keys, int values, std::uint64_t seed) {
  TreeTasks t{shape, depth, keys, values, std::vector<double>(static_cast<std::size_t>(depth) + 1, 0.0), {}, seed};
  t.task_share.assign(static_cast<std::size_t>(t.tasks()), 1.0);
  if (shape == "bend")
    t.level_share.assign(t.level_share.size(), 1.0);
  else if (shape == "clark")
    std::fill(t.level_share.begin() + depth / 2, t.level_share.end(), 1.0);
  else if (shape == "knee" || shape == "zipf")
    t.level_share.back() = 1.0;
  else
    throw Error(Exit::usage, "shape " + shape + " is not known; take knee, bend, clark, zipf or facts");
  if (shape == "zipf")
    for (std::size_t z = 0; z < t.task_share.size(); ++z) t.task_share[z] = 1.0 / static_cast<double>(z + 1);
  t.level_share = normalised(t.level_share);
  t.task_share = normalised(t.task_share);
  return t;
}

Sample draw(const TreeTasks& t, std::int64_t i) {
  const Philox bits = block(t.seed, Draw::sample, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32));
  const int task = pick(t.task_share, unit(bits.v[0])), key = below(bits.v[1], t.keys);
  return {task, key, t.answer(task, key, pick(t.level_share, unit(bits.v[2])))};
}

Assignment tree_assignment(const TreeTasks& t, int experts) {
  check(experts > 0 && (experts & (experts - 1)) == 0, Exit::usage,
        "experts " + std::to_string(experts) + " is not a power of two, so no level of the tree has as many nodes");
  Assignment a;
  for (int z = 0; z < t.tasks(); ++z) a.push_back(place_of(t, z, experts));
  return a;
}

Assignment hash_assignment(const TreeTasks& t, int experts, std::uint64_t seed) {
  check(experts > 0 && (t.tasks() % experts == 0 || experts % t.tasks() == 0), Exit::usage,
        "experts " + std::to_string(experts) + " cannot hold " + std::to_string(t.tasks()) + " tasks evenly");
  const std::vector<int> order = permutation(t.tasks(), seed);
  Assignment a(order.size());
  for (int i = 0; i < t.tasks(); ++i)
    a[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] = place_of(t, i, experts);
  return a;
}

Assignment even_assignment(const TreeTasks& t, int experts) {
  check(experts > 0, Exit::usage, "experts " + std::to_string(experts) + " cannot hold tasks; give 1 or more");
  Assignment a(static_cast<std::size_t>(t.tasks()));
  std::vector<double> load(static_cast<std::size_t>(experts), 0.0);
  for (const int z : by_share(t)) {
    const auto lightest = std::min_element(load.begin(), load.end());
    a[static_cast<std::size_t>(z)] = static_cast<int>(lightest - load.begin());
    *lightest += t.task_share[static_cast<std::size_t>(z)];
  }
  return a;
}

Assignment ideal_assignment(const TreeTasks& t, int experts) {
  return t.shape == "zipf" ? even_assignment(t, experts) : tree_assignment(t, experts);
}

double max_vio(const TreeTasks& t, const Assignment& assignment, int experts) {
  std::vector<double> load(static_cast<std::size_t>(experts), 0.0);
  for (std::size_t z = 0; z < assignment.size(); ++z) load[static_cast<std::size_t>(assignment[z])] += t.task_share[z];
  return std::max(0.0, experts * *std::max_element(load.begin(), load.end()) - 1.0);  // one expert: no -0
}

double floor_loss(const TreeTasks& t) { return entropy(t.level_share); }

double assignment_loss(const TreeTasks& t, const Assignment& assignment) {
  std::vector<int> order(assignment.size());  // tasks by expert
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return expert_of(assignment, a) < expert_of(assignment, b); });
  AnswerShares shares(t);
  double excess = 0.0;
  for (int level = t.first_level(); level <= t.depth; ++level) {
    const double share = t.level_share[static_cast<std::size_t>(level)];
    for (int key = 0; key < t.keys && share > 0.0; ++key) {
      const std::vector<int> answers = node_answers(t, key, level);
      for (std::size_t i = 0; i < order.size();) {
        const int expert = expert_of(assignment, order[i]);
        for (; i < order.size() && expert_of(assignment, order[i]) == expert; ++i)
          shares.add(answers[static_cast<std::size_t>(order[i] >> (t.depth - level))], order[i]);
        excess += share / t.keys * shares.take_uncertainty();
      }
    }
  }
  return floor_loss(t) + excess;
}

double balanced_loss(const TreeTasks& t, int experts) {
  const double full = 1.0 / experts;
  double excess = 0.0, room = full;
  std::vector<double> parts;
  for (const int z : by_share(t))
    for (double left = t.task_share[static_cast<std::size_t>(z)]; left > 1e-15;) {
      const double part = std::min(left, room);
      parts.push_back(part);
      left -= part, room -= part;
      if (room > 1e-12) continue;
      excess += full * entropy(normalised(parts));
      parts.clear(), room = full;
    }
  return floor_loss(t) + excess;
}

}  // namespace switchyard::laboratory
