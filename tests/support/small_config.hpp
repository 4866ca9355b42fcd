// The configuration of the small runs and checkpoints that tests write.
#pragma once
#include "config/config.hpp"

namespace fixtures {

using namespace switchyard;

/// Four blocks, layers in blocks 1 and 3 with 3 and 5 experts, top-2, 4 sequences of 8 tokens a step.
inline Config small_config() {
  Config config;
  config.model.vocabulary = 40;
  config.model.blocks = 4;
  config.model.context = 8;
  config.moe.experts_per_block = {0, 3, 0, 5};
  config.moe.top_k = 2;
  config.train.batch = 4;
  config.train.grains = 4;
  config.train.evaluate_every = 3;
  config.record.flush_every = 3;
  config.record.sample_every = 2;
  config.record.timeline_every = 4;
  config.record.margin_bins = 4;
  return config;
}

}  // namespace fixtures
