// The options of the mixture-of-experts layers, each with default, unit and help as in config.hpp, which includes this.
#pragma once
#include <cstdint>
#include <vector>

#include "config/enums.hpp"

namespace switchyard {

constexpr int max_combine_groups = 64;
constexpr int max_hidden_chunks = 64;

/// The mixture-of-experts layers and what keeps their loads even.
struct MoeConfig {
  int experts = 8;
  std::vector<int> experts_per_block;
  int top_k = 1;
  int every = 1;
  int first_dense = 0;
  int hidden = 512;
  int hidden_chunks = 1;
  int shared_experts = 0;
  bool shared_gate = false;
  RouterKind router = RouterKind::softmax;
  double router_std = 0.0;
  double router_prior = 0.0;
  Normalise normalise = Normalise::auto_;
  double scale = 1.0;
  int groups = 1;
  int groups_kept = 1;
  GroupScore group_score = GroupScore::top2_sum;
  double aux_loss = 0.0;
  AuxScope aux_scope = AuxScope::batch;
  double importance_loss = 0.0;
  ImportanceForm importance_form = ImportanceForm::cv2;
  double z_loss = 0.0;
  BiasRule bias_rule = BiasRule::none;
  double bias_rate = 1e-3;
  BiasUnit bias_unit = BiasUnit::absolute;
  BiasSchedule bias_schedule = BiasSchedule::constant;
  std::int64_t bias_from = 0;
  std::int64_t bias_until = 0;
  double bias_memory = 0.0;
  double bias_range = 1.0;
  int bias_bins = 1000;
  double capacity_factor = 0.0;
  DropOrder drop_order = DropOrder::weight;
  int combine_groups = 1;

  static void fields(auto& self, auto&& f) {
    f("experts", self.experts, "", "E, routed experts of a layer, all ranks together; 0 makes every block dense");
    f("experts_per_block", self.experts_per_block, "",
      "E of each block (0 = dense), in place of experts, every and first_dense");
    f("top_k", self.top_k, "", "k, experts a token is sent to");
    f("every", self.every, "blocks", "blocks every, 2*every, ... (counted from 1) are mixtures of experts");
    f("first_dense", self.first_dense, "blocks", "this many first blocks stay dense");
    f("hidden", self.hidden, "channels", "hidden width of one expert");
    f("hidden_chunks", self.hidden_chunks, "",
      "equal parts of it, a power of two: sums over it are of each part by itself, then along a tree, so that ranks "
      "may share an expert (layout.expert_tensor_parallel)");
    f("shared_experts", self.shared_experts, "", "experts that every token passes through, beside the routed ones");
    f("shared_gate", self.shared_gate, "",
      "what the shared experts give is scaled by a sigmoid of the token (counted, not trained yet)");
    f("router", self.router, "", "how scores are made and experts selected");
    f("router_std", self.router_std, "", "standard deviation of the router's initial weights; 0 means model.init_std");
    f("router_prior", self.router_prior, "",
      "softmax, sigmoid: standard deviation of a fixed normal number of each token id and expert that is added to its "
      "logit, so that routing begins as a hash of the token id; 0 is none");
    f("normalise", self.normalise, "",
      "softmax: before selection over all, or after over the selected; sigmoid: after divides by the selected sum; "
      "none keeps raw scores; auto: after, but of one choice a token, which after would leave without a gradient, "
      "before or none");
    f("scale", self.scale, "", "factor on the combine weights");
    f("groups", self.groups, "", "expert groups of group-limited routing; 1 means no limit");
    f("groups_kept", self.groups_kept, "", "groups a token may use");
    f("group_score", self.group_score, "",
      "score of a group: sum of its two best, sum of its best top_k/groups_kept, or its best");
    f("aux_loss", self.aux_loss, "", "coefficient of the Switch loss alpha*(E/k)*sum f_i*P_i");
    f("aux_scope", self.aux_scope, "", "over what f and P are taken");
    f("importance_loss", self.importance_loss, "", "coefficient of the importance loss");
    f("importance_form", self.importance_form, "", "squared coefficient of variation, or sum of (mean p - 1/E)^2");
    f("z_loss", self.z_loss, "", "coefficient of the router's mean squared log-sum-exp");
    f("bias_rule", self.bias_rule, "", "loss-free balancing: how the selection bias follows the counts of the batch");
    f("bias_rate", self.bias_rate, "per step", "u, step of the selection bias; a quantile has none");
    f("bias_unit", self.bias_unit, "", "of bias_rate: scores, or the spread of the scores of the step, as recorded");
    f("bias_schedule", self.bias_schedule, "",
      "inverse: from halfway between bias_from and bias_until on, bias_rate falls as one over the steps since "
      "bias_from");
    f("bias_from", self.bias_from, "steps", "the bias does not move until this step is through");
    f("bias_until", self.bias_until, "steps", "the bias is frozen from this step on; 0 means never");
    f("bias_memory", self.bias_memory, "", "quantile: share of the bias before it that each new one keeps");
    f("bias_range", self.bias_range, "",
      "quantile: how far a score may lie from the choice's cutoff beyond what biases differ by; all of them are within "
      "1, softmax scores of many experts much nearer");
    f("bias_bins", self.bias_bins, "", "quantile: bins of the histogram over that range");
    f("capacity_factor", self.capacity_factor, "", "C = ceil(cf*T*k/E) rows of a grain and expert; 0 drops nothing");
    f("drop_order", self.drop_order, "", "who is dropped: smallest weights, or last positions");
    f("combine_groups", self.combine_groups, "",
      "groups of contiguous experts, a power of two, whose outputs a token sums by group first; a node, or a rank that "
      "gathers, which holds whole groups may send their one sum");
  }
};

}  // namespace switchyard
