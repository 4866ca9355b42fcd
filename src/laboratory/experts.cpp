#include "laboratory/experts.hpp"

#include "base/check.hpp"
#include "laboratory/mlp_model.hpp"
#include "laboratory/table_model.hpp"

namespace switchyard::laboratory {

std::unique_ptr<Experts> make_experts(const TreeTasks& t, int experts, const ModelOptions& o) {
  if (o.model == "table")
    return std::make_unique<TableModel>(experts, t.keys, t.answers(), o.rate > 0.0 ? o.rate : 0.5);
  check(o.model == "mlp", Exit::usage, "--model " + o.model + " is not known; take table or mlp");
  return std::make_unique<MlpModel>(experts, MlpShape{t.keys, o.hidden, t.answers()}, o.rate > 0.0 ? o.rate : 0.003,
                                    t.seed);
}

double expected_loss(const TreeTasks& t, const Assignment& assignment, const Experts& experts) {
  double sum = 0.0;
  for (int z = 0; z < t.tasks(); ++z)
    for (int key = 0; key < t.keys; ++key)
      for (int level = 0; level <= t.depth; ++level) {
        const double share =
            t.task_share[static_cast<std::size_t>(z)] * t.level_share[static_cast<std::size_t>(level)] / t.keys;
        if (share > 0.0)
          sum += share * experts.loss(assignment[static_cast<std::size_t>(z)], key, t.answer(z, key, level));
      }
  return sum;
}

}  // namespace switchyard::laboratory
