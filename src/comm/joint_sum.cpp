#include "comm/joint_sum.hpp"

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace switchyard::comm {

JointSum::Place JointSum::add(std::span<const std::int64_t> counts, const std::vector<double>& grains, std::size_t n) {
  const std::vector<TreeNode> nodes = layout_.my_nodes();
  expect(grains.size() == static_cast<std::size_t>(layout_.my_grains().size()) * n, "n values of every grain");
  const Place place{counts_.size(), counts.size(), width_, n};
  counts_.insert(counts_.end(), counts.begin(), counts.end());
  for (std::size_t t = 0; t < nodes.size(); ++t) {
    const auto first = grains.begin() + static_cast<std::ptrdiff_t>((nodes[t].first - nodes[0].first) * n);
    std::vector<double> leaves(first, first + static_cast<std::ptrdiff_t>(nodes[t].size * n));
    for (const auto& [into, from] : tree_additions(tree_leaves(nodes[t].size)))
      for (std::size_t i = 0; i < n; ++i) leaves[into * n + i] += leaves[from * n + i];
    of_node_[t].insert(of_node_[t].end(), leaves.begin(), leaves.begin() + static_cast<std::ptrdiff_t>(n));
  }
  width_ += n;
  return place;
}

void JointSum::reduce() {
  all_reduce_sum(groups_.world, counts_.data(), static_cast<std::int64_t>(counts_.size()));
  std::vector<double> mine;
  for (const std::vector<double>& node : of_node_) mine.insert(mine.end(), node.begin(), node.end());
  values_ = tree_all_reduce(groups_.world, layout_.nodes_of_ranks(), mine, static_cast<std::int64_t>(width_));
}

}  // namespace switchyard::comm
