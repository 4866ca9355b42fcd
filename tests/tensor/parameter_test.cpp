// Initial values are a function of (seed, parameter, unit, element) alone: units are compared between all ranks of
// layouts of 1, 2, 3 and 5 ranks, made in one process.
#include "tensor/parameter.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "support/parameters.hpp"
#include "support/queue.hpp"

namespace switchyard {
namespace {

using test::tensor;

ParameterSet make(const Layout& layout, std::uint64_t seed) {
  TensorSpec tied = tensor("head", {37, 12}), norm = tensor("norm", {12});
  tied.adds_to = "embedding";
  norm.init = Init::ones;
  ParameterSet set(layout, {tensor("embedding", {37, 12}), norm, tensor("experts.up", {7, 5, 11}, Placement::expert),
                            tied, tensor("experts.down", {7, 11, 5}, Placement::expert)});
  set.allocate(test::queue(), seed);
  return set;
}

Layout layout_of(int ranks, int rank, int expert_parallel) {
  Layout l;
  l.ranks = ranks;
  l.rank = rank;
  l.expert_parallel = expert_parallel;
  l.grains = 8;
  return l;
}

/// Values of each (parameter, unit) that a rank holds.
std::map<std::pair<int, Index>, std::vector<float>> units(const ParameterSet& set) {
  std::map<std::pair<int, Index>, std::vector<float>> all;
  const std::vector<float> slabs[2] = {host_values(set.values(Placement::replicated)),
                                       host_values(set.values(Placement::expert))};
  for (const Parameter& p : set.all()) {
    if (!p.adds_to.empty()) continue;
    for (Index u = 0; u < p.experts.size(); ++u) {
      const auto first = slabs[static_cast<int>(p.placement)].begin() + p.offset + u * p.stride;
      all[{p.id, p.experts.first + u}] = std::vector<float>(first, first + p.unit);
    }
  }
  return all;
}

TEST(Parameter, ValuesDoNotDependOnTheLayout) {
  const auto whole = units(make(layout_of(1, 0, 1), 5));
  EXPECT_EQ(whole.size(), 2u + 7u + 7u);
  for (const auto& [ranks, expert_parallel] :
       std::vector<std::pair<int, int>>{{1, 1}, {2, 1}, {2, 2}, {3, 3}, {3, 1}, {5, 5}, {6, 3}, {9, 9}}) {
    std::map<std::pair<int, Index>, int> held;
    for (int rank = 0; rank < ranks; ++rank)
      for (const auto& [key, values] : units(make(layout_of(ranks, rank, expert_parallel), 5))) {
        EXPECT_EQ(values, whole.at(key)) << "parameter " << key.first << " unit " << key.second << " rank " << rank;
        ++held[key];
      }
    for (const auto& [key, values] : whole)
      EXPECT_EQ(held[key], key.first < 2 ? ranks : ranks / expert_parallel) << key.first << " " << key.second;
  }
}

TEST(Parameter, SeedsAndUnitsDiffer) {
  const auto one = units(make(layout_of(1, 0, 1), 5)), other = units(make(layout_of(1, 0, 1), 6));
  EXPECT_NE(one.at({0, 0}), other.at({0, 0}));
  EXPECT_NE(one.at({2, 0}), one.at({2, 1}));
  EXPECT_NE(one.at({2, 0}), one.at({4, 0}));
}

TEST(Parameter, NormalValuesHaveTheirSpread) {
  ParameterSet set(layout_of(1, 0, 1), {tensor("w", {400, 500})});
  set.allocate(test::queue(), 3);
  const auto v = units(set).at({0, 0});
  double sum = 0.0, squares = 0.0, fourth = 0.0;
  for (const float x : v) sum += x, squares += x * x, fourth += std::pow(x / 0.02, 4);
  const double n = static_cast<double>(v.size());
  EXPECT_NEAR(sum / n, 0.0, 5 * 0.02 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 0.02 * 5 / std::sqrt(2 * n));
  EXPECT_NEAR(fourth / n, 3.0, 5 * std::sqrt(96 / n));
}

TEST(Parameter, OnesAndPlaces) {
  const ParameterSet set = make(layout_of(1, 0, 1), 5);
  EXPECT_EQ(units(set).at({1, 0}), std::vector<float>(12, 1.0f));
  EXPECT_EQ(set.find("experts.down"), 4);
  EXPECT_EQ(set.find("nothing"), -1);
  for (const Parameter& p : set.all()) EXPECT_EQ(p.offset % unit_block, 0) << p.name;
  EXPECT_EQ(set[2].unit, 55);
  EXPECT_EQ(set[2].stride, 4096);
  EXPECT_EQ(set[2].span(), 7 * 4096);
}

TEST(Parameter, GradientsAreKeptOncePerNode) {
  const ParameterSet set = make(layout_of(3, 1, 3), 5);  // grains 2 … 4 of 8, the group holds all
  EXPECT_EQ(set.nodes(Placement::replicated), (std::vector<TreeNode>{{2, 2}, {4, 1}}));
  EXPECT_EQ(set.nodes(Placement::expert), (std::vector<TreeNode>{{0, 8}}));
  EXPECT_EQ(set.gradients(Placement::replicated).extent(0), 2u);
  EXPECT_EQ(set.gradient_stride(0), set.slab_size(Placement::replicated));
  EXPECT_NE(set.gradient(3), nullptr);
  Layout idle = layout_of(9, 0, 1);  // nine ranks, eight grains: one rank holds none
  int without = 0;
  for (idle.rank = 0; idle.rank < 9; ++idle.rank) without += make(idle, 5).gradient(0) == nullptr;
  EXPECT_EQ(without, 1);
}

/// To eight significant bits, halves to even.
float rounded(float value) {
  int exponent = 0;
  const double mantissa = std::frexp(static_cast<double>(value), &exponent);
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8));
}

/// What products read of every unit, as floats.
void expect_weights_are_rounded_values(const ParameterSet& set) {
  const auto values = units(set);
  for (const Parameter& p : set.all()) {
    if (!p.adds_to.empty() || p.shape.size() < 2) continue;
    for (Index u = 0; u < p.experts.size(); ++u) {
      const auto* first = reinterpret_cast<const Bf16*>(set.weight(p.id).data) + u * p.stride;
      const std::vector<Bf16> read = host_values(Vector<const Bf16>(first, p.unit));
      const std::vector<float>& of = values.at({p.id, p.experts.first + u});
      for (Index i = 0; i < p.unit; ++i) ASSERT_EQ(load(read[i]), rounded(of[i])) << p.name << " " << u << " " << i;
    }
  }
}

TEST(Parameter, OtherElementsAreTheRoundedValuesWhateverChangesThem) {
  ParameterSet set(layout_of(1, 0, 1),
                   {tensor("embedding", {37, 12}), tensor("experts.up", {7, 5, 11}, Placement::expert)}, Element::bf16);
  set.allocate(test::queue(), 5);
  expect_weights_are_rounded_values(set);
  EXPECT_EQ(set.weight(1).rows, 5);
  EXPECT_EQ(set.weight(1).width, 11);
  fill(test::queue(), set.values(Placement::expert), 1.0f + 3.0f / 256);         // half way, the even one is above
  fill(test::queue(), set.values(Placement::replicated), -(1.0f + 1.0f / 256));  // and here nearer to 0
  set.round_weights(test::queue());
  test::queue().fence("test");
  expect_weights_are_rounded_values(set);
}

TEST(Parameter, FloatsAreReadWhereTheyAre) {
  const ParameterSet set = make(layout_of(1, 0, 1), 5);
  for (const int id : {0, 2, 4}) EXPECT_EQ(static_cast<void*>(set.weight(id).data), static_cast<void*>(set.value(id)));
}

}  // namespace
}  // namespace switchyard
