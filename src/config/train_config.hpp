// The options of the optimization, each with default, unit and help as in config.hpp, which includes this.
#pragma once
#include <cstdint>
#include <vector>

#include "config/enums.hpp"

namespace switchyard {

/// The optimization: how long, how large a step, in what pieces.
struct TrainConfig {
  std::int64_t steps = 1000;
  int batch = 16;
  int grains = 8;
  std::uint64_t seed = 1;
  double learning_rate = 1e-3;
  double min_learning_rate = 1e-4;
  std::int64_t warmup = 100;
  double router_rate = 1.0;
  std::int64_t router_warmup = 0;
  Schedule schedule = Schedule::cosine;
  double decay_share = 0.2;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip = 1.0;
  std::int64_t evaluate_every = 100;
  std::int64_t evaluate_tokens = 65536;
  std::int64_t checkpoint_every = 500;
  int keep = 2;
  std::vector<int> keep_steps;
  std::vector<Role> frozen;
  double max_time = 0.0;
  Determinism determinism = Determinism::layout;
  Precision precision = Precision::fp32;
  GraphChoice graph = GraphChoice::auto_;

  static void fields(auto& self, auto&& f) {
    f("steps", self.steps, "steps", "length of the run");
    f("batch", self.batch, "sequences", "sequences of the global batch");
    f("grains", self.grains, "",
      "G, pieces of the batch; must divide batch; fixes the order of every sum, not the layout");
    f("seed", self.seed, "", "initial weights and router noise");
    f("learning_rate", self.learning_rate, "", "peak learning rate");
    f("min_learning_rate", self.min_learning_rate, "", "learning rate at the last step of a decaying schedule");
    f("warmup", self.warmup, "steps", "linear warm-up from 0");
    f("router_rate", self.router_rate, "", "factor on the learning rate of routers; 0 leaves them as they began");
    f("router_warmup", self.router_warmup, "steps", "another linear warm-up of theirs from 0, which multiplies it");
    f("schedule", self.schedule, "", "shape after the warm-up; wsd: constant, at the end linear");
    f("decay_share", self.decay_share, "", "wsd: share of the steps, the last ones, in which the rate falls");
    f("beta1", self.beta1, "", "AdamW first moment");
    f("beta2", self.beta2, "", "AdamW second moment");
    f("epsilon", self.epsilon, "", "AdamW denominator");
    f("weight_decay", self.weight_decay, "", "AdamW decay of matrices; norms and embeddings have none");
    f("clip", self.clip, "", "largest global gradient norm; 0 means no clipping");
    f("evaluate_every", self.evaluate_every, "steps", "evaluation interval; 0 means never");
    f("evaluate_tokens", self.evaluate_tokens, "tokens", "held-out tokens of one evaluation, always the same");
    f("checkpoint_every", self.checkpoint_every, "steps", "checkpoint interval; 0 means only at the end");
    f("keep", self.keep, "", "checkpoints kept, the newest ones");
    f("keep_steps", self.keep_steps, "steps",
      "a checkpoint is made at these steps too and stays, whatever keep says: for runs that start from it");
    f("frozen", self.frozen, "",
      "parts of the model that no step changes: neither their values nor their moments, nor do they count in the "
      "gradient norm");
    f("max_time", self.max_time, "s", "stop with a checkpoint and exit code 75 after this long; 0 means no limit");
    f("determinism", self.determinism, "",
      "layout: the same bits on every layout; run: on the same ranks, expert_parallel and lanes only (by nodes on the "
      "same nodes), with less work");
    f("precision", self.precision, "",
      "of products and of what is kept between them; bf16: parameters, norms, routers and sums stay floats");
    f("graph", self.graph, "",
      "on a GPU, whether a step's kernels are captured once as CUDA graphs; auto: where they can be; changes no bit");
  }
};

}  // namespace switchyard
