// The summation tree of contract C1: sums over grains follow one binary tree over grain indices, in which the left part
// of n leaves is the largest power of two below n. A rank that holds grains [first, last) sums the dyadic nodes inside
// that range; the owner of a slice merges the nodes of all ranks. Whatever the cut, the same additions are done.
// An absent partial (an expert without a row in a grain) is +0 and is added like any other, in every layout: this
// can turn a −0 into +0, but alike everywhere, and a sum then needs no list of who took part.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

namespace switchyard {

/// Grains [first, first + size), size a power of two that divides first: one node of the tree.
struct TreeNode {
  int first;
  int size;
  bool operator==(const TreeNode&) const = default;
};

/// The dyadic nodes that make up grains [first, last), ascending; empty for an empty range.
inline std::vector<TreeNode> tree_nodes(int first, int last) {
  std::vector<TreeNode> nodes;
  while (first < last) {
    int size = first == 0 ? 1 << 30 : first & -first;
    while (size > last - first) size >>= 1;
    nodes.push_back({first, size});
    first += size;
  }
  return nodes;
}

/// One addition: slot[into] += slot[from].
struct TreeAdd {
  int into;
  int from;
};

/// The additions, in order, that merge `nodes` (ascending, contiguous, starting at grain 0 or at a node boundary) into
/// slot 0: equal neighbours first as a binary counter does, what is left over from the right.
inline std::vector<TreeAdd> tree_additions(const std::vector<TreeNode>& nodes) {
  std::vector<TreeAdd> adds;
  std::vector<std::pair<TreeNode, int>> stack;  // node, slot
  for (int i = 0; i < static_cast<int>(nodes.size()); ++i) {
    stack.emplace_back(nodes[i], i);
    while (stack.size() > 1) {
      auto& [left, into] = stack[stack.size() - 2];
      const auto& [right, from] = stack.back();
      if (left.size != right.size || left.first % (2 * left.size) != 0) break;
      adds.push_back({into, from});
      left.size *= 2;
      stack.pop_back();
    }
  }
  for (; stack.size() > 1; stack.pop_back()) adds.push_back({stack[stack.size() - 2].second, stack.back().second});
  return adds;
}

/// What is done with the slots of sums after those of a lane are in theirs: slot[into] += slot[from], or = slot[from].
struct SlotStep {
  int into, from;
  bool add;
  bool operator==(const SlotStep&) const = default;
};

/// Where the nodes of a lane are summed: the first of them in `slot`, the others in those after it; then the steps.
struct LaneSums {
  int slot = 0;
  std::vector<SlotStep> steps;
};

/// Of lanes that are done one after another and together have contiguous leaves, ascending: after the last one the
/// nodes of them all are in slots 0, 1, …, and the additions were those of the tree.
inline std::vector<LaneSums> lane_sums(const std::vector<std::vector<TreeNode>>& lanes) {
  std::vector<LaneSums> sums;
  std::vector<TreeNode> done;  // in slots 0, 1, …
  for (const std::vector<TreeNode>& nodes : lanes) {
    LaneSums lane{static_cast<int>(done.size()), {}};
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      TreeNode node = nodes[i];
      int slot = lane.slot + static_cast<int>(i);
      while (!done.empty() && done.back().size == node.size && done.back().first % (2 * node.size) == 0) {
        const int into = static_cast<int>(done.size()) - 1;
        lane.steps.push_back({into, slot, true});
        node = {done.back().first, 2 * node.size};
        slot = into;
        done.pop_back();
      }
      if (slot != static_cast<int>(done.size())) lane.steps.push_back({static_cast<int>(done.size()), slot, false});
      done.push_back(node);
    }
    sums.push_back(std::move(lane));
  }
  return sums;
}

/// Grains 0 … n−1, each a node of its own.
inline std::vector<TreeNode> tree_leaves(int n) {
  std::vector<TreeNode> leaves;
  for (int i = 0; i < n; ++i) leaves.push_back({i, 1});
  return leaves;
}

/// Sum of one value a grain along the tree; 0 for none. `values` holds grains 0 … n−1.
template <class T>
T tree_sum(std::vector<T> values) {
  if (values.empty()) return T{};
  for (const auto& [into, from] : tree_additions(tree_leaves(static_cast<int>(values.size()))))
    values[into] += values[from];
  return values[0];
}

}  // namespace switchyard
