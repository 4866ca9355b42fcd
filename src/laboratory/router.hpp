// A learned top-1 router of the laboratory model, after Switch (Fedus et al. 2021): linear in a cue of the task,
// softmax over experts; the gate of the chosen expert multiplies its logits, and through the gate alone the router
// learns.
//
// The cue is the path to the task's leaf, D numbers ±2^-l, one a level from the root down, the larger the higher: with
// cues that do not tell which tasks are near each other no router would find the tree. As the cue is a function of the
// task, routing is an assignment of tasks, and its best loss is exact. Everything is in double precision.
#pragma once
#include <string>
#include <vector>

#include "laboratory/adam.hpp"
#include "laboratory/tree_tasks.hpp"

namespace switchyard::laboratory {

struct RouterOptions {
  std::string balance = "aux";  ///< none, aux (Switch's loss) or free (loss-free: a bias that only the choice sees)
  double aux = 10.0;         ///< α of α · E · Σ f_e · P_e, over each batch; strong, as losses of a nat are routed
  double bias_rate = 0.001;  ///< u of bias_e += u · sign(mean load − load_e), after each batch
  double rate = 0.003;       ///< of Adam, falling to 0 from the middle on
};

class LearnedRouter {
 public:
  /// Throws Error{usage} for a balance that is not known.
  LearnedRouter(const TreeTasks& tasks, int experts, const RouterOptions& options);

  /// Probabilities and chosen experts of all tasks from the weights, for the next batch.
  void choose();
  const Assignment& assignment() const { return assignment_; }
  double probability(int task, int expert) const { return probability_[at(task, expert)]; }
  /// Of the chosen expert: its probability.
  double gate(int task) const { return probability(task, assignment_[static_cast<std::size_t>(task)]); }

  /// One sample of the batch, with d loss / d gate.
  void add(int task, double slope);
  /// Of the samples added: the mean of slope · gate plus the balance loss, by the weights (experts × D).
  std::vector<double> gradient() const;
  /// The end of a batch: one step of the weights and of the biases, when a share `progress` of the training is done.
  void update(double progress);
  std::vector<double>& weights() { return weights_; }

 private:
  std::size_t at(int task, int expert) const {
    return static_cast<std::size_t>(task) * static_cast<std::size_t>(experts_) + static_cast<std::size_t>(expert);
  }
  std::vector<double> loads() const;
  void add_balance(int task, const std::vector<double>& loads, std::vector<double>& slopes) const;

  RouterOptions options_;
  int tasks_, experts_, depth_;
  std::vector<double> cues_;  ///< (tasks × D)
  std::vector<double> weights_, bias_, probability_;
  std::vector<double> slope_, count_;  ///< of the batch, by task
  double samples_ = 0.0;
  Assignment assignment_;
  Adam<double> adam_;
};

}  // namespace switchyard::laboratory
