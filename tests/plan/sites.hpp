// A small model, and where it is planned for.
#pragma once
#include "config/config.hpp"
#include "plan/machine.hpp"
#include "plan/prediction.hpp"

namespace switchyard::plan {

inline Config model() {
  Config c;
  c.model.vocabulary = 64, c.model.width = 32, c.model.blocks = 2, c.model.context = 16, c.model.hidden = 64;
  c.moe.experts = 16, c.moe.top_k = 4, c.moe.hidden = 48, c.moe.combine_groups = 4, c.moe.aux_loss = 0.01;
  c.train.batch = 32, c.train.grains = 16;
  return c;
}

inline Site site(int ranks, int nodes) { return {ranks, nodes, round_machine()}; }

}  // namespace switchyard::plan
