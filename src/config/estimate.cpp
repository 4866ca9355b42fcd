// The arithmetic of estimate.hpp.
#include "config/estimate.hpp"

#include <algorithm>
#include <bit>
#include <map>

namespace switchyard {
namespace {

/// How many blocks have a number of experts (0: dense): nothing else tells what a block holds.
using BlockCounts = std::map<int, std::int64_t>;

BlockCounts count_blocks(const Config& c) {
  BlockCounts counts;
  for (int b = 0; b < c.model.blocks; ++b) ++counts[c.block_experts(b)];
  return counts;
}

std::int64_t matrices(const Config& c) { return c.model.activation == Activation::swiglu ? 3 : 2; }

std::int64_t kv_width(const Config& c) { return std::int64_t{c.kv_heads()} * c.head_dim(); }

/// Weights of one feed-forward network.
std::int64_t network(const Config& c, std::int64_t hidden) { return matrices(c) * c.model.width * hidden; }

std::int64_t router_weights(const Config& c, int experts) {
  const std::int64_t one = std::int64_t{experts} * c.model.width;
  return c.moe.router == Router::hash ? 0 : c.moe.router == Router::noisy_topk ? 2 * one : one;
}

/// Parameters of an expert slab of `local` experts a layer, by the layer's number of experts.
template <class LocalExperts>
std::int64_t expert_parameters(const Config& c, const BlockCounts& blocks, LocalExperts&& local) {
  std::int64_t sum = 0;
  for (const auto& [experts, count] : blocks)
    if (experts > 0) sum += count * local(experts) * network(c, c.moe.hidden);
  return sum;
}

std::int64_t attention_weights(const Config& c) {
  return 2 * std::int64_t{c.model.width} * c.model.width + 2 * c.model.width * kv_width(c);
}

/// Replicated weights of a block that a product reads.
std::int64_t block_weights(const Config& c, int experts) {
  if (experts == 0) return attention_weights(c) + network(c, c.model.hidden);
  return attention_weights(c) + router_weights(c, experts) +
         network(c, std::int64_t{c.moe.shared_experts} * c.moe.hidden);
}

/// Elements of the replicated slab: a tied embedding's two gradients are kept apart, so it has a second place there.
std::int64_t replicated_slab(const Config& c) {
  return model_size(c).replicated + (c.model.tied ? std::int64_t{c.model.vocabulary} * c.model.width : 0);
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
std::int64_t shared_activations(const Config& c, const BlockCounts& blocks, std::int64_t n) {
  const std::int64_t d = c.model.width;
  const std::int64_t hidden = blocks.contains(0) ? (matrices(c) - 1) * c.model.hidden : 0;
  return number * n * ((c.model.blocks + 1) * d + 5 * d + 2 * kv_width(c) + hidden + 3);
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
  BlockCounts blocks;
  NodeCounts nodes;
  std::int64_t replicated = 0;  ///< elements of the slab
};

RankBytes bytes_of(const Config& c, const Layout& layout, const Whole& whole) {
  const std::int64_t held =
      expert_parameters(c, whole.blocks, [&](int experts) { return layout.my_experts(experts).size(); });
  const std::int64_t n = layout.my_grains().size() * c.grain_sequences() * c.model.context, d = c.model.width;
  const std::int64_t sent = n * c.moe.top_k;
  RankBytes bytes;
  bytes.base = fixed_base_bytes;
  bytes.parameters = number * (whole.replicated + held);
  bytes.moments = 2 * bytes.parameters;
  bytes.gradients = gradient_bytes(layout, whole.nodes, whole.replicated, held);
  bytes.activations = shared_activations(c, whole.blocks, n);
  bytes.head = head_bytes(c, layout, n);
  for (const auto& [experts, count] : whole.blocks) {
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
  const std::int64_t d = c.model.width, embedding = c.model.vocabulary * d;
  ModelSize size;
  size.replicated = (c.model.tied ? 1 : 2) * embedding + (2 * c.model.blocks + 1) * d;
  const BlockCounts blocks = count_blocks(c);
  for (const auto& [experts, count] : blocks) size.replicated += count * block_weights(c, experts);
  size.experts = expert_parameters(c, blocks, [](int experts) { return experts; });
  size.active =
      size.replicated + expert_parameters(c, blocks, [&](int experts) { return std::min(c.moe.top_k, experts); });
  return size;
}

std::int64_t dense_parameters(const Config& c) {
  std::int64_t sum = 0;
  for (const auto& [experts, count] : count_blocks(c)) {
    const std::int64_t networks = std::min(c.moe.top_k, experts) + c.moe.shared_experts;
    sum +=
        count * (attention_weights(c) + (experts ? networks * network(c, c.moe.hidden) : network(c, c.model.hidden)));
  }
  return sum;
}

double flop_per_token(const Config& c) {
  double weights = double(c.model.vocabulary) * c.model.width;
  const BlockCounts blocks = count_blocks(c);
  for (const auto& [experts, count] : blocks) weights += double(count * block_weights(c, experts));
  weights += double(expert_parameters(c, blocks, [&](int experts) { return std::min(c.moe.top_k, experts); }));
  return 3.0 * (2.0 * weights + c.model.blocks * 2.0 * c.model.context * c.model.width);
}

std::vector<RankBytes> rank_bytes(const Config& c, int ranks) {
  Layout layout = layout_of(c, ranks);
  const Whole whole{count_blocks(c), count_nodes(layout), replicated_slab(c)};
  std::vector<RankBytes> all;
  for (layout.rank = 0; layout.rank < ranks; ++layout.rank) all.push_back(bytes_of(c, layout, whole));
  return all;
}

}  // namespace switchyard
