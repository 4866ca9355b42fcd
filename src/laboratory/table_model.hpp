// The laboratory model: one layer whose experts are tables of logits (key, answer), trained with Adagrad. It isolates
// routing: an expert's table can hold any one distribution a key, so all that is lost is lost by the router, or not yet
// learned.
#pragma once
#include <cstdint>
#include <vector>

#include "laboratory/tree_tasks.hpp"

namespace switchyard::laboratory {

/// Adagrad on single samples: w −= rate · g / (√Σg² + 1e-8).
class TableModel {
 public:
  TableModel(int experts, int keys, int answers, double rate);
  /// One step of an expert's table on one sample.
  void train(int expert, int key, int answer);
  /// Cross-entropy of the answer, nat.
  double loss(int expert, int key, int answer) const;

 private:
  std::size_t row(int expert, int key) const {
    return (static_cast<std::size_t>(expert) * keys_ + static_cast<std::size_t>(key)) * answers_;
  }
  std::size_t keys_, answers_;
  float rate_;
  std::vector<float> logits_, squares_, share_;
};

/// Loss of the model under an assignment, exact over tasks, keys and levels, nat a sample.
double expected_loss(const TreeTasks& tasks, const Assignment& assignment, const TableModel& model);

}  // namespace switchyard::laboratory
