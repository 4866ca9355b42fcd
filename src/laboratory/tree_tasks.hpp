// Generator T1, hierarchical keyed maps: text whose best loss is known exactly for every number of experts.
//
// L = 2^D tasks are the leaves of a binary tree. Every node at level l has a random map from X keys to its level's
// alphabet of V values. A sample draws a task, a key and a level, and its answer is what the map of the task's ancestor
// at that level gives for the key. Experts see the key only, the router the task: then each expert can hold exactly one
// distribution of answers a key, whatever its width, and losses follow from the drawn maps alone.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace switchyard::laboratory {

struct TreeTasks {
  std::string shape;
  int depth = 6;                    ///< D
  int keys = 16;                    ///< X
  int values = 64;                  ///< V
  std::vector<double> level_share;  ///< q, (D + 1), sums to 1
  std::vector<double> task_share;   ///< p, (L), sums to 1
  std::uint64_t seed = 1;           ///< of maps and samples

  int tasks() const { return 1 << depth; }
  /// The first level that gives answers; those above it have no alphabet.
  int first_level() const;
  int answers() const { return (depth + 1 - first_level()) * values; }
  /// Answer of a `level` from first_level() on, in [0, answers()): alphabets of different levels are disjoint.
  int answer(int task, int key, int level) const;
};

/// Shapes of the curve of losses over E = 1, 2, 4, …:
///   knee     all answers from the leaves: ln 2 a doubling up to L, then nothing;
///   bend     levels alike: the gain falls linearly to 0 at L;
///   clark    levels from D/2 on alike: level gains up to 2^(D/2), then falling to 0 at L;
///   zipf     as knee, task r with share 1/r.
/// Throws Error{usage} for another name.
TreeTasks make_tasks(const std::string& shape, int depth, int keys, int values, std::uint64_t seed);

struct Sample {
  int task, key, answer;
};
/// Sample i, a pure function of (seed, i).
Sample draw(const TreeTasks& tasks, std::int64_t i);

/// Experts of tasks: assignment[z] in [0, E).
using Assignment = std::vector<int>;

/// Whole subtrees in one expert: E must be a power of two; from E = L on a task has an expert of its own.
Assignment tree_assignment(const TreeTasks& tasks, int experts);
/// Every expert the same number of tasks, drawn; from E = L on a task has an expert of its own. E divides L, or L
/// divides E.
Assignment hash_assignment(const TreeTasks& tasks, int experts, std::uint64_t seed);
/// Loads as even as whole tasks allow (the heaviest task to the emptiest expert): near the best for knee and zipf.
Assignment even_assignment(const TreeTasks& tasks, int experts);

/// The best of these for the shape: subtrees, and even loads for zipf.
Assignment ideal_assignment(const TreeTasks& tasks, int experts);

/// MaxVio of an assignment: (largest load − mean load) / mean load, loads being shares of the samples; exact.
double max_vio(const TreeTasks& tasks, const Assignment& assignment, int experts);

/// nat a sample: the choice of the level, which nothing can predict.
double floor_loss(const TreeTasks& tasks);
/// Smallest loss that experts with this assignment can reach, nat a sample: floor + I(task; answer | key, expert), from
/// the drawn maps.
double assignment_loss(const TreeTasks& tasks, const Assignment& assignment);
/// The same where every expert takes exactly 1/E of the samples, tasks being cut in the order of their share. For
/// shapes whose answers come from the leaves; exact as V grows.
double balanced_loss(const TreeTasks& tasks, int experts);

}  // namespace switchyard::laboratory
