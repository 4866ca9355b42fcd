#include "comm/joint_sum.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace switchyard::comm {

std::vector<double> node_sums(const std::vector<TreeNode>& nodes, const std::vector<double>& values, std::size_t n) {
  std::vector<double> sums(nodes.size() * n), leaves;
  for (std::size_t t = 0; t < nodes.size(); ++t)
    for (std::size_t i = 0; i < n; ++i) {
      leaves.clear();
      for (int g = 0; g < nodes[t].size; ++g) leaves.push_back(values[(nodes[t].first - nodes[0].first + g) * n + i]);
      sums[t * n + i] = tree_sum(leaves);
    }
  return sums;
}

JointSum::Place JointSum::add(std::span<const std::int64_t> counts, const std::vector<double>& grains, std::size_t n) {
  const std::vector<TreeNode> nodes = groups_.layout.my_nodes();
  expect(grains.size() == static_cast<std::size_t>(groups_.layout.my_grains().size()) * n, "n values of every grain");
  const Place place{counts_.size(), counts.size(), width_, n};
  counts_.insert(counts_.end(), counts.begin(), counts.end());
  const std::vector<double> sums = node_sums(nodes, grains, n);
  of_node_.insert(of_node_.end(), sums.begin(), sums.end());
  widths_.push_back(n);
  width_ += n;
  return place;
}

void JointSum::reduce() {
  all_reduce_sum(groups_.world, counts_.data(), static_cast<std::int64_t>(counts_.size()));
  const std::size_t nodes = groups_.layout.my_nodes().size();
  std::vector<double> mine(nodes * width_);
  std::size_t from = 0, first = 0;
  for (const std::size_t n : widths_) {
    for (std::size_t t = 0; t < nodes; ++t, from += n)
      std::copy_n(of_node_.begin() + static_cast<std::ptrdiff_t>(from), n,
                  mine.begin() + static_cast<std::ptrdiff_t>(t * width_ + first));
    first += n;
  }
  values_ = tree_all_reduce(groups_.world, groups_.layout.nodes_of_ranks(), mine, static_cast<std::int64_t>(width_));
}

}  // namespace switchyard::comm
