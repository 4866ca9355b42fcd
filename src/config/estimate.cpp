// The arithmetic of estimate.hpp.
#include "config/estimate.hpp"

#include <algorithm>
#include <map>

namespace switchyard {
namespace {

/// Blocks of one number of experts (0: dense), which are alike: how many there are, and the tensors of each.
struct BlockKind {
  std::int64_t count = 0;
  std::vector<TensorSpec> tensors;
};
using BlockKinds = std::map<int, BlockKind>;

BlockKinds block_kinds(const Config& c) {
  BlockKinds kinds;
  for (int b = 0; b < c.model.blocks; ++b) {
    BlockKind& kind = kinds[c.block_experts(b)];
    if (++kind.count == 1) kind.tensors = block_architecture(c, b);
  }
  return kinds;
}

template <class Number = std::int64_t, class F>
Number sum_of(const std::vector<TensorSpec>& tensors, const F& f) {
  Number n = 0;
  for (const TensorSpec& t : tensors) n += f(t);
  return n;
}

/// Σ f(tensor) over the model.
template <class Number = std::int64_t, class F>
Number sum_tensors(const Config& c, const F& f) {
  Config outside = c;
  outside.model.blocks = 0;
  Number total = sum_of<Number>(architecture(outside), f);
  for (const auto& [experts, kind] : block_kinds(c)) total += Number(kind.count) * sum_of<Number>(kind.tensors, f);
  return total;
}

/// Product of the lengths from an axis on.
Checked product(const TensorSpec& t, std::size_t axis) {
  Checked n = 1;
  for (; axis < t.shape.size(); ++axis) n *= t.shape[axis];
  return n;
}

}  // namespace

std::int64_t used_elements(const Config& c, const TensorSpec& t) {
  return t.unit() *
         (t.placement == Placement::expert ? t.chunks * std::min<std::int64_t>(c.moe.top_k, t.experts()) : 1);
}

Layout layout_of(const Config& c, int ranks) {
  Layout layout;
  layout.ranks = ranks;
  layout.expert_parallel = c.layout.expert_parallel ? c.layout.expert_parallel : ranks;
  layout.expert_tensor_parallel = c.layout.expert_tensor_parallel;
  layout.grains = c.train.grains;
  layout.determinism = c.train.determinism;
  layout.lanes = c.layout.lanes;
  const int group = layout.expert_parallel;
  const int near = c.layout.ranks_per_node > 0 ? std::min(c.layout.ranks_per_node, ranks) : group;  // or as one node
  layout.gathered = c.layout.exchange == ExchangeKind::gather;
  if (c.layout.by_nodes() && std::max(near, group) % std::min(near, group) == 0)
    layout.node_places = std::min(near, group);
  layout.seats = seats_of(c.layout, layout);
  return layout;
}

ModelSize model_size(const Config& c) {
  const auto own = [](const TensorSpec& t, Placement placement) {
    return t.placement == placement && t.adds_to.empty() ? t.elements() : 0;
  };
  return {sum_tensors(c, [&](const TensorSpec& t) { return own(t, Placement::replicated); }),
          sum_tensors(c, [&](const TensorSpec& t) { return own(t, Placement::expert); }),
          sum_tensors(c, [&](const TensorSpec& t) { return t.adds_to.empty() ? used_elements(c, t) : 0; })};
}

Checked checked_parameters(const Config& c) {
  return sum_tensors<Checked>(c, [](const TensorSpec& t) { return t.adds_to.empty() ? product(t, 0) : Checked(0); });
}

Checked checked_slab_elements(const Config& c) {
  return sum_tensors<Checked>(c, [](const TensorSpec& t) {
    const bool cut = t.placement == Placement::expert;
    return (product(t, cut ? 1 : 0) + (unit_block - 1)) / unit_block * unit_block * t.units();
  });
}

std::int64_t dense_parameters(const Config& c) {
  return sum_tensors(c, [&](const TensorSpec& t) {
    const bool counts = t.role == Role::attention || t.role == Role::feed_forward || t.role == Role::expert ||
                        t.role == Role::shared_expert;
    return counts ? used_elements(c, t) : 0;
  });
}

double flop_per_token(const Config& c) {
  const std::int64_t in_blocks = sum_tensors(
      c, [&](const TensorSpec& t) { return t.read_by_product() && t.role != Role::head ? used_elements(c, t) : 0; });
  const double weights = double(in_blocks) + double(c.model.vocabulary) * c.model.width;
  const double heads = double(c.model.heads) * (c.query_dim() + c.value_dim());
  return 3.0 * (2.0 * weights + c.model.blocks * double(c.model.context) * heads);
}

}  // namespace switchyard
