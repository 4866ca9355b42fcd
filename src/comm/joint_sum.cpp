#include "comm/joint_sum.hpp"

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace switchyard::comm {

JointSum::Place JointSum::add(std::span<const std::int64_t> counts, const std::vector<double>& grains, std::size_t n) {
  const std::vector<TreeNode> nodes = layout_.my_nodes();
  expect(grains.size() == static_cast<std::size_t>(layout_.my_grains().size()) * n, "n values of every grain");
  const Place place{counts_.size(), counts.size(), width_, n};
  counts_.insert(counts_.end(), counts.begin(), counts.end());
  std::vector<double> leaves;
  for (std::size_t t = 0; t < nodes.size(); ++t)
    for (std::size_t i = 0; i < n; ++i) {
      leaves.clear();
      for (int g = 0; g < nodes[t].size; ++g) leaves.push_back(grains[(nodes[t].first - nodes[0].first + g) * n + i]);
      of_node_[t].push_back(tree_sum(leaves));
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
