// The summation tree of contract C1: its shape, and that no cut into ranks changes an addition.
#include "base/tree.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace switchyard {
namespace {

std::string sum(const std::string& left, const std::string& right) {
  std::string text(1, '(');
  text.append(left).append(1, '+').append(right).append(1, ')');
  return text;
}

/// Grains [first, last) written as nested pairs, from the definition: the left part is the largest power of two below
/// n.
std::string shape(int first, int last) {
  const int n = last - first;
  if (n == 1) return std::to_string(first);
  int left = 1;
  while (2 * left < n) left *= 2;
  return sum(shape(first, first + left), shape(first + left, last));
}

/// What tree_additions makes of the grains [0, n) when they are cut at `cuts`: ranks sum their own nodes first.
std::string additions_of(int n, const std::vector<int>& cuts) {
  std::vector<TreeNode> nodes;
  std::vector<std::string> slots;
  for (std::size_t r = 0; r + 1 < cuts.size(); ++r)
    for (const TreeNode& node : tree_nodes(cuts[r], cuts[r + 1])) {
      nodes.push_back(node);
      slots.push_back(shape(node.first, node.first + node.size));
    }
  for (const auto& [into, from] : tree_additions(nodes)) slots[into] = sum(slots[into], slots[from]);
  return n ? slots[0] : "";
}

/// A value that writes down its own additions.
struct Written {
  std::string text;
  Written& operator+=(const Written& other) {
    text = sum(text, other.text);
    return *this;
  }
};

TEST(Tree, LeftPartIsTheLargestPowerOfTwoBelowN) {
  EXPECT_EQ(shape(0, 5), "(((0+1)+(2+3))+4)");
  EXPECT_EQ(shape(0, 7), "(((0+1)+(2+3))+((4+5)+6))");
  for (int n = 1; n <= 70; ++n) {
    std::vector<Written> grains;
    for (int g = 0; g < n; ++g) grains.push_back({std::to_string(g)});
    EXPECT_EQ(tree_sum(grains).text, shape(0, n)) << n;
  }
}

TEST(Tree, NodesAreDyadicAndCoverTheRange) {
  for (int first = 0; first < 20; ++first)
    for (int last = first; last < 40; ++last) {
      int at = first;
      for (const TreeNode& node : tree_nodes(first, last)) {
        EXPECT_EQ(node.first, at);
        EXPECT_EQ(node.size & (node.size - 1), 0);
        EXPECT_EQ(node.first % node.size, 0);
        at += node.size;
      }
      EXPECT_EQ(at, last);
    }
  EXPECT_TRUE(tree_nodes(3, 3).empty());
}

TEST(Tree, EveryCutIntoRangesGivesTheSameAdditions) {
  for (int n = 1; n <= 13; ++n)
    for (unsigned mask = 0; mask < 1u << (n - 1); ++mask) {  // bit g: cut before grain g + 1
      std::vector<int> cuts{0};
      for (int g = 0; g < n - 1; ++g)
        if (mask >> g & 1) cuts.push_back(g + 1);
      cuts.push_back(n);
      ASSERT_EQ(additions_of(n, cuts), shape(0, n)) << "n " << n << " cuts " << mask;
    }
}

/// The slots after the last of some lanes, which are cut at `cuts`.
std::vector<std::string> slots_after(const std::vector<int>& cuts) {
  std::vector<std::vector<TreeNode>> lanes;
  for (std::size_t l = 0; l + 1 < cuts.size(); ++l) lanes.push_back(tree_nodes(cuts[l], cuts[l + 1]));
  const std::vector<LaneSums> sums = lane_sums(lanes);
  std::vector<std::string> slots;
  for (std::size_t l = 0; l < lanes.size(); ++l) {
    slots.resize(std::max(slots.size(), sums[l].slot + lanes[l].size()));
    for (std::size_t i = 0; i < lanes[l].size(); ++i)
      slots[sums[l].slot + i] = shape(lanes[l][i].first, lanes[l][i].first + lanes[l][i].size);
    for (const auto& [into, from, add] : sums[l].steps) slots[into] = add ? sum(slots[into], slots[from]) : slots[from];
  }
  return slots;
}

// The slots begin with the nodes of the whole range, each the sum along the tree; no lane overwrites what another
// needs.
TEST(Tree, EveryCutOfARankIntoLanesGivesItsNodes) {
  for (int first = 0; first <= 5; ++first)
    for (int n = 1; n <= 9; ++n)
      for (unsigned mask = 0; mask < 1u << (n - 1); ++mask) {
        std::vector<int> cuts{first, first};  // a lane without leaves
        for (int g = 0; g < n - 1; ++g)
          if (mask >> g & 1) cuts.push_back(first + g + 1);
        cuts.insert(cuts.end(), 2, first + n);
        std::vector<std::string> nodes, slots = slots_after(cuts);
        for (const TreeNode& node : tree_nodes(first, first + n))
          nodes.push_back(shape(node.first, node.first + node.size));
        ASSERT_GE(slots.size(), nodes.size());
        slots.resize(nodes.size());
        ASSERT_EQ(slots, nodes) << "from " << first << ", n " << n << ", cuts " << mask;
      }
}

TEST(Tree, TwoHalvesNeedOneMoreSlot) {
  const std::vector<LaneSums> sums = lane_sums({{{0, 4}}, {{4, 4}}});
  EXPECT_EQ(sums[0].slot, 0);
  EXPECT_TRUE(sums[0].steps.empty());
  EXPECT_EQ(sums[1].slot, 1);
  EXPECT_EQ(sums[1].steps, (std::vector<SlotStep>{{0, 1, true}}));
}

// Few nodes whatever the range, up to the largest number of grains.
TEST(Tree, LargeRangesHaveFewNodes) {
  constexpr int largest = 2147483647;
  EXPECT_EQ(tree_nodes(0, 1 << 30), (std::vector<TreeNode>{{0, 1 << 30}}));
  EXPECT_EQ(tree_nodes(0, largest).size(), 31u);
  EXPECT_EQ(tree_nodes(largest - 1, largest), (std::vector<TreeNode>{{largest - 1, 1}}));
  for (const int first : {0, 1, 3, (1 << 29) + 1, (1 << 30) - 1, 1 << 30}) {
    std::int64_t at = first;
    const std::vector<TreeNode> nodes = tree_nodes(first, largest);
    EXPECT_LE(nodes.size(), 62u) << first;
    for (const TreeNode& node : nodes) {
      EXPECT_EQ(node.first, at);
      at += node.size;
    }
    EXPECT_EQ(at, largest) << first;
  }
}

TEST(Tree, EmptyRanksChangeNothing) {
  EXPECT_EQ(additions_of(3, {0, 0, 1, 1, 2, 3, 3}), shape(0, 3));
  EXPECT_EQ(tree_sum(std::vector<double>{}), 0.0);
}

}  // namespace
}  // namespace switchyard
