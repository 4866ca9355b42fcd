#include "plan/work.hpp"

#include <algorithm>
#include <cmath>

#include "config/even_routing.hpp"

namespace switchyard::plan {
namespace {

using schedule::Direction;
using schedule::Stage;
using schedule::Task;

double ceil_share(double total, double parts) { return std::ceil(total / parts); }

/// A matrix (N, K), of each expert.
bool is_matrix(const TensorSpec& t) { return t.shape.size() == (t.placement == Placement::expert ? 3u : 2u); }
double columns_of(const TensorSpec& t) { return double(t.shape[t.shape.size() - 2]); }
double inner_of(const TensorSpec& t) { return double(t.shape.back()); }
/// The last product of a network, which is not made again.
bool is_down(const TensorSpec& t) { return t.name.ends_with("down.weight"); }

}  // namespace

double Work::flop() const {
  double all = 0.0;
  for (const ProductCall& p : products) all += p.flop();
  return all;
}

double Work::product_seconds(const ProductRates& rates) const {
  double all = 0.0;
  for (const ProductCall& p : products)
    if (p.flop() > 0.0) all += p.flop() / rates.flop_per_s(p.kind, p.rows, p.inner, p.columns);
  return all;
}

Workload::Workload(const Config& config, const Layout& layout, double load)
    : config_(config), layout_(layout), load_(load), tokens_(layout.lanes), group_tokens_(layout.lanes) {
  const double grain = double(config.grain_sequences()) * config.model.context;
  Layout of = layout;
  for (of.lane = 0; of.lane < of.lanes; ++of.lane)
    for (of.rank = 0; of.rank < of.ranks; ++of.rank) {
      tokens_[of.lane] = std::max(tokens_[of.lane], grain * double(of.my_lane_grains().size()));
      if (of.place() == 0)
        group_tokens_[of.lane] = std::max(group_tokens_[of.lane], grain * double(of.group_lane_grains()));
    }
  of = layout;
  of.rank = of.lane = 0;
  pieces_ = std::max<double>(1.0, double(of.my_lane_pieces().size()));
  group_pieces_ = std::max<double>(1.0, double(of.my_group_pieces().size()));
  for (int b = 0; b < config.model.blocks; ++b)
    if (!blocks_.contains(config.block_experts(b)))
      blocks_.emplace(config.block_experts(b), block_architecture(config, b));
  Config without_blocks = config;
  without_blocks.model.blocks = 0;
  outside_ = architecture(without_blocks);
  const auto add = [&](const std::vector<TensorSpec>& tensors) {
    for (const TensorSpec& t : tensors)
      if (t.placement == Placement::expert)
        experts_ += double(t.unit()) * t.chunks / team() * experts_of_rank(t.experts());
      else if (t.adds_to.empty())
        replicated_ += double(t.elements());
  };
  for (int b = 0; b < config.model.blocks; ++b) add(tensors_of(b));
  add(outside_);
}

const std::vector<TensorSpec>& Workload::tensors_of(int block) const {
  return blocks_.at(config_.block_experts(block));
}

/// Of which it has all, or its part of the hidden width.
double Workload::experts_of_rank(int experts) const { return ceil_share(experts, layout_.teams()); }

double Workload::expert_rows(int lane, int experts) const {
  return load_ * group_tokens_.at(lane) * config_.moe.top_k * experts_of_rank(experts) / experts;
}

double Workload::rows_here(int lane, int experts) const {
  if (!config_.layout.local_first || layout_.expert_parallel == 1 || group_tokens_.at(lane) == 0.0) return 0.0;
  return expert_rows(lane, experts) * tokens(lane) / group_tokens_.at(lane);
}

double Workload::all_expert_rows(int experts) const {
  double rows = 0.0;
  for (int lane = 0; lane < layout_.lanes; ++lane) rows += expert_rows(lane, experts);
  return rows;
}

/// Over the tokens of the task's lane.
void Workload::add_product(Work& work, const TensorSpec& t, const Task& task) const {
  const double rows = tokens(task.lane), k = inner_of(t), n = columns_of(t);
  if (task.direction == Direction::recompute && is_down(t)) return;
  if (task.direction != Direction::backward) return work.products.push_back({Product::forward, 1.0, rows, k, n});
  work.products.push_back({Product::input_gradient, 1.0, rows, k, n});
  work.products.push_back({Product::weight_gradient, pieces_, rows / pieces_, k, n});
}

Work Workload::of_network(const std::vector<TensorSpec>& tensors, Role role, const Task& task) const {
  Work work;
  for (const TensorSpec& t : tensors)
    if (t.role == role && is_matrix(t)) add_product(work, t, task);
  return work;
}

/// That a task of the experts computes: with local_first two of them share the rows of a lane, but for what is made
/// again.
double Workload::rows_of_experts(const Task& task) const {
  const int experts = config_.block_experts(task.block);
  if (task.stage == Stage::expert_weights) return all_expert_rows(experts);
  if (task.stage == Stage::experts_here) return rows_here(task.lane, experts);
  const double here = task.direction == Direction::recompute ? 0.0 : rows_here(task.lane, experts);
  return expert_rows(task.lane, experts) - here;
}

/// The gradients of the weights are one product over all lanes, in a task of their own.
Work Workload::of_experts(const std::vector<TensorSpec>& tensors, const Task& task) const {
  Work work;
  const int experts = config_.block_experts(task.block);
  const double mine = experts_of_rank(experts);
  const double rows = rows_of_experts(task);
  for (const TensorSpec& t : tensors) {
    if (t.role != Role::expert || !is_matrix(t)) continue;
    const double networks = mine * t.chunks / team();  // each chunk of an expert's hidden width is a product of its own
    if (task.stage == Stage::expert_weights)
      work.products.push_back({Product::weight_gradient, networks * group_pieces_, rows / mine / group_pieces_,
                               inner_of(t), columns_of(t)});
    else if (task.direction == Direction::backward)
      work.products.push_back({Product::input_gradient, networks, rows / mine, inner_of(t), columns_of(t)});
    else if (task.direction == Direction::forward || !is_down(t))
      work.products.push_back({Product::forward, networks, rows / mine, inner_of(t), columns_of(t)});
  }
  return work;
}

/// Parameters whose gradients have a norm, and those that a rank updates.
double Workload::slab_elements(bool updated_only) const {
  if (!updated_only || config_.layout.zero == 0) return replicated_ + experts_;
  return replicated_ / layout_.ranks + experts_ / layout_.groups();
}

/// Rows that a rank writes to send its tokens to experts: one for each choice, or for each part of the
/// first leg with one of them.
double Workload::rows_out(const Task& task) const {
  if (!layout_.by_nodes()) return tokens(task.lane) * config_.moe.top_k;
  const MoeLayer layer{task.block, config_.block_experts(task.block)};
  const Leg leg = layout_.legs().front();
  double parts = 0.0;
  for (std::int64_t part = leg.parts.first; part < leg.parts.last; ++part)
    parts += share_of_part(config_, layout_, leg.width, static_cast<int>(part), layer);
  return tokens(task.lane) * parts;
}

double Workload::rows_home(const Task& task) const {
  const bool sums = layout_.by_nodes() && sums_on(config_, layout_, layout_.legs().front());
  return sums ? rows_out(task) : tokens(task.lane) * config_.moe.top_k;
}

/// Parts of sums over the hidden width that come home from each rank of a team, or to the node that handed rows on.
double Workload::elements_added(const Task& task) const {
  const bool forward = task.direction == Direction::forward;
  const Stage stage = layout_.by_nodes() ? (forward ? Stage::combine : Stage::dispatch)
                                         : (forward ? Stage::combine_finish : Stage::dispatch_finish);
  if (task.stage != stage || team() == 1.0) return 0.0;
  return team() * tokens(task.lane) * config_.moe.top_k * config_.model.width;
}

double Workload::elements_of(const Task& task) const {
  const double d = config_.model.width, t = tokens(task.lane);
  const int experts = task.block >= 0 && task.block < config_.model.blocks ? config_.block_experts(task.block) : 0;
  const double arrived = experts > 0 ? expert_rows(task.lane, experts) : 0.0;
  switch (task.stage) {
    case Stage::embedding:
    case Stage::shared:
      return t * (d + (task.stage == Stage::shared ? double(config_.moe.shared_experts) * config_.moe.hidden : 0.0));
    case Stage::attention:
      return t * d * config_.model.context / 2.0;
    case Stage::feed_forward:
      return t * (d + (experts > 0 ? 0.0 : double(config_.model.hidden)));
    case Stage::router:
      return t * (d + experts);
    case Stage::plan:
      return t * config_.moe.top_k;
    case Stage::dispatch:
      return (task.direction == Direction::backward ? arrived : rows_out(task)) * d;
    case Stage::combine_finish:
      return (task.direction == Direction::backward ? arrived : rows_home(task)) * d;
    case Stage::dispatch_finish:
      return (task.direction == Direction::backward ? rows_home(task) : arrived) * d;
    case Stage::combine:
      return (task.direction == Direction::backward ? rows_out(task) : arrived) * d;
    case Stage::experts_here:
    case Stage::experts:
      return rows_of_experts(task) * config_.moe.hidden / team();
    case Stage::expert_weights:
      return all_expert_rows(experts) * d;
    case Stage::head:
      return t * config_.model.vocabulary;
    case Stage::norm:
    case Stage::optimizer:
      return slab_elements(true);
    default:
      return 0.0;
  }
}

Work Workload::of(const Task& task) const {
  Work work;
  switch (task.stage) {
    case Stage::attention:
      work = of_network(tensors_of(task.block), Role::attention, task);
      break;
    case Stage::feed_forward:
      work = of_network(tensors_of(task.block), Role::feed_forward, task);
      break;
    case Stage::router:
      work = of_network(tensors_of(task.block), Role::router, task);
      break;
    case Stage::shared:
      work = of_network(tensors_of(task.block), Role::shared_expert, task);
      break;
    case Stage::experts_here:
    case Stage::experts:
    case Stage::expert_weights:
      work = of_experts(tensors_of(task.block), task);
      break;
    case Stage::head: {
      TensorSpec head;  // a tied one is no tensor of its own
      head.shape = {config_.model.vocabulary, config_.model.width};
      add_product(work, head, task);
      break;
    }
    default:
      break;
  }
  work.elements = elements_of(task) + elements_added(task);
  return work;
}

double Workload::seconds(const Task& task, const MachineDescription& machine) const {
  const Work work = of(task);
  const Stage stage = task.stage == Stage::experts_here ? Stage::experts : task.stage;  // the same kernels
  const StageRates& rates = machine.stages[static_cast<std::size_t>(stage)];
  return work.product_seconds(machine.products) +
         work.elements * (task.direction == Direction::backward ? rates.backward : rates.forward);
}

}  // namespace switchyard::plan
