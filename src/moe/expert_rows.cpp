#include "moe/expert_rows.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace switchyard::moe {

ExpertRows::ExpertRows(Arena& arena, const Config& config, const Layout& layout, int block, Element branch)
    : layout_(layout),
      block_(block),
      experts_(static_cast<int>(layout.my_experts(config.block_experts(block)).size())),
      pieces_(static_cast<int>(layout.my_group_pieces().size())) {
  Index even = 0;
  for (Layout of = layout; of.lane < of.lanes; ++of.lane)
    even += even_expert_rows(config, of, config.block_experts(block));
  const auto rows = [&](Index width) { return Tensor{nullptr, branch, even, width}; };
  rows_ = {arena, "moe::expert_rows::rows", Account::expert_rows, rows(config.model.width)};
  outputs_ = {arena, "moe::expert_rows::outputs", Account::expert_rows, rows(config.model.width)};
  network_ = {arena, Account::expert_rows, rows(config.moe.hidden), config.model.activation};
  if (!arena.places()) return;
  begins_.assign(layout.lanes + 1, 0);
  first_.assign(Index{experts_} * pieces_, 0), last_ = first_;
}

void ExpertRows::take(int lane, const Plan& plan) {
  const Index before = begins_[lane], all = before + plan.expert_rows();
  std::fill(begins_.begin() + lane + 1, begins_.end(), all);
  rows_.reserve(all, before);
  outputs_.reserve(all, before);
  network_.reserve(all, before);
  for (int e = 0; e < experts_; ++e) take_pieces(lane, e, plan);
}

/// A plan has the pieces of its lane, by place; with determinism `run` these are one. In evaluation nobody asks.
void ExpertRows::take_pieces(int lane, int expert, const Plan& plan) {
  const Index in_plan = plan.pieces(), *offset = plan.piece_offsets().data() + expert * in_plan;
  const auto set = [&](std::int64_t piece) {
    first_[expert * pieces_ + piece] = begins_[lane] + *offset++;
    last_[expert * pieces_ + piece] = begins_[lane] + *offset;
  };
  if (!layout_.by_grains(layout_.groups())) return set(lane);
  if (!plan.by_grains()) return;
  Layout of = layout_;
  of.lane = lane;
  const Range near = of.near_places();
  for (std::int64_t first = 0; first < near.size(); ++first)  // as each of them hands on what it has of others
    for (std::int64_t p = first; p < of.expert_parallel; p += near.size()) {
      const Range grains = of.lane_grains_of(static_cast<int>(of.group() * of.expert_parallel + p));
      for (std::int64_t g = grains.first; g < grains.last; ++g) set(g - layout_.my_group_grains().first);
    }
}

nn::NetworkRows ExpertRows::pieces(const std::vector<TreeNode>& nodes) const {
  return {{experts_, nullptr, nullptr},
          {static_cast<int>(first_.size()), first_.data(), last_.data()},
          pieces_,
          &nodes,
          {}};
}

}  // namespace switchyard::moe
