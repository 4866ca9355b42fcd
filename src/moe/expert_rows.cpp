#include "moe/expert_rows.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "config/recomputation.hpp"

namespace switchyard::moe {

namespace {

/// Of all lanes.
Index even_rows(const Config& config, Layout layout, int block) {
  Index even = 0;
  for (; layout.lane < layout.lanes; ++layout.lane)
    even += even_expert_rows(config, layout, config.block_experts(block));
  return even;
}

constexpr const char *rows_label = "moe::expert_rows::rows", *outputs_label = "moe::expert_rows::outputs";

/// Memory of n rows (n, d), and of what the experts keep of them.
std::shared_ptr<RowRoom> row_room(Arena& arena, const char* label, const Config& config, Index n, Element branch) {
  return std::make_shared<RowRoom>(arena, label, Account::expert_rows, Tensor{nullptr, branch, n, config.model.width});
}
std::shared_ptr<nn::FeedForwardPass> network_room(Arena& arena, const Config& config, const Layout& layout,
                                                  const Tensor& rows) {
  Tensor hidden = rows;
  hidden.width = rank_hidden(config, layout);
  return std::make_shared<nn::FeedForwardPass>(arena, Account::expert_rows, hidden, config.model.activation);
}

/// Of an expert and grain. With determinism `run` nobody says, since pieces are not grains then.
Index usual_rows(const Config& config, const Layout& layout, int block) {
  if (!layout.by_grains(layout.groups())) return 0;
  const Index choices = Index{config.grain_sequences()} * config.model.context * config.moe.top_k;
  return std::max<Index>(1, choices / config.block_experts(block));
}

/// Pieces of a lane whose rows begin at `before`: number g of its own is `own` + g of all pieces of an expert.
struct LanePieces {
  Plan::PieceRows rows;
  Index before, experts, pieces, own, all;
};

/// Their first rows, then as many last ones, as tables of (experts, all).
void write_pieces(const Queue& queue, const LanePieces& lane, Index* tables) {
  Kokkos::parallel_for(
      "switchyard::moe::expert_rows::pieces", queue.range(lane.experts * lane.pieces), KOKKOS_LAMBDA(Index i) {
        const Index e = i / lane.pieces, g = i % lane.pieces, at = e * lane.all + lane.own + g;
        const Index first = lane.before + lane.rows.first(g, e);
        tables[at] = first;
        tables[lane.experts * lane.all + at] = first + lane.rows.count(g, e);
      });
}

/// In a block that is made again, rows that travelled are kept at their experts, and not outputs that are kept apart,
/// so that nothing travels twice; where none does, rows are gathered again.
bool rows_travel(const Layout& layout) { return layout.expert_parallel > 1; }

}  // namespace

ExpertScratch::ExpertScratch(Arena& arena, const Config& config, const Layout& layout, Element branch) {
  Index largest = -1, largest_of_whole = -1;
  for (int b = 0; b < config.model.blocks; ++b) {
    if (config.block_experts(b) == 0 || recomputed(config, b) == Recompute::none) continue;
    largest = std::max(largest, even_rows(config, layout, b));
    if (whole_block_recomputed(config, b)) largest_of_whole = largest;
  }
  if (largest >= 0) network = network_room(arena, config, layout, {nullptr, branch, largest, 0});
  if (largest_of_whole < 0) return;
  if (outputs_kept_apart(config, layout)) outputs = row_room(arena, outputs_label, config, largest_of_whole, branch);
  if (!rows_travel(layout)) rows = row_room(arena, rows_label, config, largest_of_whole, branch);
}

ExpertRows::ExpertRows(Arena& arena, const Config& config, const Layout& layout, int block, Element branch,
                       const ExpertScratch& scratch)
    : layout_(layout),
      block_(block),
      experts_(static_cast<int>(layout.my_experts(config.block_experts(block)).size())),
      pieces_(static_cast<int>(layout.my_group_pieces().size())),
      usual_(usual_rows(config, layout, block)),
      gathered_again_(whole_block_recomputed(config, block) && !rows_travel(layout)) {
  const Index even = even_rows(config, layout, block);
  const bool whole = whole_block_recomputed(config, block), hidden = recomputed(config, block) != Recompute::none;
  rows_ = gathered_again_ ? scratch.rows : row_room(arena, rows_label, config, even, branch);
  const bool apart = outputs_kept_apart(config, layout);
  outputs_ = whole && apart ? scratch.outputs : row_room(arena, outputs_label, config, even, branch);
  network_ = hidden ? scratch.network : network_room(arena, config, layout, {nullptr, branch, even, 0});
  tables_ = {arena, "moe::expert_rows::tables", Account::expert_rows, 2 * table()};
  if (!arena.places()) return;
  begins_.assign(layout.lanes + 1, 0);
  std::fill_n(tables_.host(), 2 * table(), Index{0});
}

void ExpertRows::take(const Queue& queue, int lane, const Plan& plan) {
  const Index before = begins_[lane], all = before + plan.expert_rows();
  std::fill(begins_.begin() + lane + 1, begins_.end(), all);
  rows_->reserve(all, before);
  outputs_->reserve(all, before);
  network_->reserve(all, before);
  if (plan.resident()) return take_resident(queue, lane, plan);
  for (int e = 0; e < experts_; ++e) take_pieces(lane, e, plan);
  tables_.to_device(queue, 2 * table());
}

/// The pieces of the plan's lane, of all experts, as take_pieces.
void ExpertRows::take_resident(const Queue& queue, int lane, const Plan& plan) {
  const bool by_grains = layout_.by_grains(layout_.groups());
  if (by_grains && !plan.by_grains()) return;
  Layout of = layout_;
  of.lane = lane;
  const Index pieces = plan.pieces();
  const Index own = by_grains ? of.my_lane_grains().first - layout_.my_group_grains().first : lane;
  write_pieces(queue, {plan.rows_of_pieces(), begins_[lane], experts_, pieces, own, pieces_}, tables_.device());
}

/// A plan has the pieces of its lane, by place; with determinism `run` all rows of an expert are one. In evaluation
/// nobody asks.
void ExpertRows::take_pieces(int lane, int expert, const Plan& plan) {
  const auto set = [&](std::int64_t piece, const Range& rows) {
    Index* first = tables_.host() + Index{expert} * pieces_ + piece;
    first[0] = begins_[lane] + rows.first;
    first[table()] = begins_[lane] + rows.last;
  };
  if (!layout_.by_grains(layout_.groups())) {
    expect(plan.here().rows.size() == 0, "rows of an expert together");
    return set(lane, {plan.others().offsets[expert], plan.others().offsets[expert + 1]});
  }
  if (!plan.by_grains()) return;
  const Range* next = plan.piece_rows().data() + Index{expert} * plan.pieces();
  Layout of = layout_;
  of.lane = lane;
  for (Index near = 0; near < of.near_places().size(); ++near)  // as each of them hands on what it has of others
    for_sources(of, near, [&](int p) {
      const Range grains = lane_grains_from(of, p);
      for (std::int64_t g = grains.first; g < grains.last; ++g) set(g - layout_.my_group_grains().first, *next++);
    });
}

nn::NetworkRows ExpertRows::pieces(const std::vector<TreeNode>& nodes) const {
  const Index rows = begins_.back();
  const Index *first = tables_.device(), *last = first + table();
  return {{experts_, nullptr, nullptr, 0, 0},
          {static_cast<int>(table()), first, last, rows, rows},
          pieces_,
          &nodes,
          {},
          usual_};
}

}  // namespace switchyard::moe
