// The arithmetic of estimate.hpp.
#include "config/estimate.hpp"

#include <algorithm>
#include <bit>
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

std::int64_t matrices(const Config& c) { return c.model.activation == Activation::swiglu ? 3 : 2; }

std::int64_t kv_width(const Config& c) { return std::int64_t{c.kv_heads()} * c.head_dim(); }

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

/// Elements that a token uses: of routed experts its choices.
std::int64_t used(const Config& c, const TensorSpec& t) {
  return t.unit() * (t.placement == Placement::expert ? std::min<std::int64_t>(c.moe.top_k, t.units()) : 1);
}

/// Elements of one unit in a slab of this placement, filling included; 0 in the other.
std::int64_t slab_unit(const TensorSpec& t, Placement placement) {
  return t.placement == placement ? padded_unit(t.unit()) : 0;
}

/// comm/tree_reduce.cpp sums slices in rounds of this many elements.
constexpr std::int64_t reduction_round = 1 << 20;

/// Tree nodes of all ranks, and of all expert groups.
struct NodeCounts {
  std::int64_t ranks = 0, groups = 0;
};

std::int64_t nodes_of(const std::vector<TreeNode>& nodes) { return static_cast<std::int64_t>(nodes.size()); }

NodeCounts count_nodes(const Layout& layout) {
  NodeCounts counts;
  for (const auto& nodes : layout.nodes_of_ranks()) counts.ranks += nodes_of(nodes);
  for (const auto& nodes : layout.nodes_of_groups()) counts.groups += nodes_of(nodes);
  return counts;
}

/// Elements of other ranks' nodes that a slice of a summed slab is made from; 0 on one rank.
std::int64_t reduction_buffer(std::int64_t slab, int ranks, std::int64_t nodes, std::int64_t own_nodes) {
  return ranks == 1 ? 0 : (nodes - own_nodes) * std::min(slab / ranks, reduction_round);
}

constexpr std::int64_t number = 4;  // bytes of a float and of a 32-bit integer

/// Kept rows of a block's forward pass for n tokens, and of its router and plan, without expert rows.
std::int64_t block_activations(const Config& c, std::int64_t experts, std::int64_t n, std::int64_t sent) {
  const std::int64_t d = c.model.width;
  std::int64_t numbers = n * (5 * d + 2 * kv_width(c) + c.model.heads + 2);
  if (experts == 0) return number * (numbers + n * matrices(c) * c.model.hidden);
  const std::int64_t score_rows = c.moe.router == Router::noisy_topk ? 3 : c.moe.router == Router::hash ? 1 : 2;
  numbers +=
      n * (score_rows * experts + 4) + 5 * sent;  // scores; expert, weight, gradient, and both orders of a choice
  return number * numbers + sent + n / c.model.context * (16 * experts + number * c.record.margin_bins);
}

/// Rows of one backward pass that all blocks share, and what lies between the blocks.
std::int64_t shared_activations(const Config& c, std::int64_t n) {
  const std::int64_t d = c.model.width;
  return number * n * ((c.model.blocks + 1) * d + 5 * d + 2 * kv_width(c) + 3);
}

/// Rows that a place of an expert group works on in a layer of `experts`, at even loads.
std::int64_t expert_rows(const Config& c, const Layout& layout, int experts) {
  const std::int64_t group_tokens = layout.my_group_grains().size() * c.grain_sequences() * c.model.context;
  return group_tokens * c.moe.top_k * layout.my_experts(experts).size() / experts;
}

/// One slab a tree node (a rank without grains has one for the sum), and the larger of the two sums' buffers.
std::int64_t gradient_bytes(const Layout& layout, const NodeCounts& nodes, std::int64_t replicated, std::int64_t held) {
  const std::int64_t own = nodes_of(layout.my_nodes()), of_group = nodes_of(layout.my_group_nodes());
  const std::int64_t slabs = std::max<std::int64_t>(1, own) * replicated + std::max<std::int64_t>(1, of_group) * held;
  return number * (slabs + std::max(reduction_buffer(replicated, layout.ranks, nodes.ranks, own),
                                    reduction_buffer(held, layout.groups(), nodes.groups, of_group)));
}

/// Logits of one grain, what is kept of each row, and the subtrees of the weight's gradient that wait for others.
std::int64_t head_bytes(const Config& c, const Layout& layout, std::int64_t n) {
  if (n == 0) return 0;
  int most = 1;
  for (const TreeNode& node : layout.my_nodes()) most = std::max(most, node.size);
  const std::int64_t grain = c.grain_sequences() * c.model.context, levels = std::bit_width(unsigned(most)) - 1;
  return number * (c.model.vocabulary * (grain + levels * c.model.width) + 4 * n);
}

/// What is the same for every rank.
struct Whole {
  BlockKinds blocks;
  NodeCounts nodes;
  std::int64_t replicated = 0;             ///< elements of the slab, the second place of a tied embedding included
  std::map<int, std::int64_t> one_expert;  ///< slab elements of one expert in all blocks of that number of experts
};

Whole whole_of(const Config& c, const Layout& layout) {
  Whole whole{block_kinds(c), count_nodes(layout), 0, {}};
  whole.replicated = sum_tensors(c, [](const TensorSpec& t) { return slab_unit(t, Placement::replicated); });
  for (const auto& [experts, kind] : whole.blocks)
    whole.one_expert[experts] =
        kind.count * sum_of(kind.tensors, [](const TensorSpec& t) { return slab_unit(t, Placement::expert); });
  return whole;
}

RankBytes bytes_of(const Config& c, const Layout& layout, const Whole& whole) {
  std::int64_t held = 0;
  for (const auto& [experts, elements] : whole.one_expert) held += elements * layout.my_experts(experts).size();
  const std::int64_t n = layout.my_grains().size() * c.grain_sequences() * c.model.context, d = c.model.width;
  const std::int64_t sent = n * c.moe.top_k;
  RankBytes bytes;
  bytes.base = fixed_base_bytes;
  bytes.parameters = number * (whole.replicated + held);
  bytes.moments = 2 * bytes.parameters;
  bytes.gradients = gradient_bytes(layout, whole.nodes, whole.replicated, held);
  bytes.activations = shared_activations(c, n);
  bytes.head = head_bytes(c, layout, n);
  for (const auto& [experts, kind] : whole.blocks) {
    const std::int64_t count = kind.count;
    bytes.activations += count * block_activations(c, experts, n, experts > 0 ? sent : 0);
    if (experts == 0) continue;
    const std::int64_t rows = expert_rows(c, layout, experts), hidden = matrices(c) * c.moe.hidden;
    bytes.experts += count * number * (rows * (2 * d + hidden) + n * c.moe.shared_experts * hidden);
    if (layout.expert_parallel > 1) bytes.exchange += count * number * d * (std::max(rows, sent) + rows + 2 * sent);
  }
  return bytes;
}

}  // namespace

Layout layout_of(const Config& c, int ranks) {
  Layout layout;
  layout.ranks = ranks;
  layout.expert_parallel = c.layout.expert_parallel ? c.layout.expert_parallel : ranks;
  layout.grains = c.train.grains;
  return layout;
}

ModelSize model_size(const Config& c) {
  const auto own = [](const TensorSpec& t, Placement placement) {
    return t.placement == placement && t.adds_to.empty() ? t.elements() : 0;
  };
  return {sum_tensors(c, [&](const TensorSpec& t) { return own(t, Placement::replicated); }),
          sum_tensors(c, [&](const TensorSpec& t) { return own(t, Placement::expert); }),
          sum_tensors(c, [&](const TensorSpec& t) { return t.adds_to.empty() ? used(c, t) : 0; })};
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
    return counts ? used(c, t) : 0;
  });
}

double flop_per_token(const Config& c) {
  const std::int64_t in_blocks = sum_tensors(c, [&](const TensorSpec& t) {
    const bool read_by_product = t.role != Role::embedding && t.role != Role::norm && t.role != Role::head;
    return read_by_product ? used(c, t) : 0;
  });
  const double weights = double(in_blocks) + double(c.model.vocabulary) * c.model.width;
  return 3.0 * (2.0 * weights + c.model.blocks * 2.0 * c.model.context * c.model.width);
}

std::vector<RankBytes> rank_bytes(const Config& c, int ranks) {
  Layout layout = layout_of(c, ranks);
  const Whole whole = whole_of(c, layout);
  std::vector<RankBytes> all;
  for (layout.rank = 0; layout.rank < ranks; ++layout.rank) all.push_back(bytes_of(c, layout, whole));
  return all;
}

}  // namespace switchyard
