// What the one routed layer of the laboratory has for experts: they see the key of a sample only.
#pragma once
#include <memory>
#include <string>

#include "laboratory/tree_tasks.hpp"

namespace switchyard::laboratory {

class Experts {
 public:
  virtual ~Experts() = default;
  /// Learns from one sample, the expert's logits being multiplied by gate > 0; returns d loss / d gate.
  virtual double train(int expert, int key, int answer, float gate) = 0;
  /// After the samples of a batch, when a share `progress` of the training is done.
  virtual void end_batch(double progress) = 0;
  /// Cross-entropy of the answer at gate 1, nat.
  virtual double loss(int expert, int key, int answer) const = 0;
};

struct ModelOptions {
  std::string model = "table";  ///< table: TableModel; mlp: MlpModel
  double rate = 0.0;            ///< learning rate; 0 takes 0.5 for tables (Adagrad), 0.003 for mlp (AdamW)
  int hidden = 16;              ///< of mlp
};

/// Throws Error{usage} for a model that is not known.
std::unique_ptr<Experts> make_experts(const TreeTasks& tasks, int experts, const ModelOptions& options);

/// Loss of the experts under an assignment, exact over tasks, keys and levels, nat a sample.
double expected_loss(const TreeTasks& tasks, const Assignment& assignment, const Experts& experts);

}  // namespace switchyard::laboratory
