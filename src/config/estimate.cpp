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

template <class F>
std::int64_t sum_of(const std::vector<TensorSpec>& tensors, const F& f) {
  std::int64_t n = 0;
  for (const TensorSpec& t : tensors) n += f(t);
  return n;
}

/// Σ f(tensor) over the model.
template <class F>
std::int64_t sum_tensors(const Config& c, const F& f) {
  Config outside = c;
  outside.model.blocks = 0;
  std::int64_t total = sum_of(architecture(outside), f);
  for (const auto& [experts, kind] : block_kinds(c)) total += kind.count * sum_of(kind.tensors, f);
  return total;
}

/// Elements that a token uses: of routed experts its choices.
std::int64_t used(const Config& c, const TensorSpec& t) {
  return t.unit() * (t.placement == Placement::expert ? std::min<std::int64_t>(c.moe.top_k, t.units()) : 1);
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

}  // namespace switchyard
