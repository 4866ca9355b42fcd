// Initial values are a function of (seed, parameter, unit, element) alone: units are compared between all ranks of
// layouts of 1, 2, 3 and 5 ranks, made in one process.
#include "tensor/parameter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/check.hpp"
#include "support/parameters.hpp"
#include "support/placement.hpp"
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
    for (Index u = 0; u < p.local_units(); ++u) {
      const auto first = slabs[static_cast<int>(p.placement)].begin() + p.offset + u * p.stride;
      all[{p.id, p.held[u]}] = std::vector<float>(first, first + p.unit);
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

/// However many chunks an expert's matrix is cut into, by rows or by columns: its numbers are the same.
TEST(Parameter, ValuesDoNotDependOnTheChunks) {
  constexpr int experts = 3, rows = 8, columns = 12;
  const auto values = [&](int chunks, bool of_input) {
    TensorSpec t = tensor("w", {experts * chunks, rows / (of_input ? 1 : chunks), columns / (of_input ? chunks : 1)});
    t.placement = Placement::expert, t.chunks = chunks, t.chunks_of_input = of_input;
    ParameterSet set(layout_of(1, 0, 1), {t});
    set.allocate(test::queue(), 3);
    return units(set);
  };
  const auto whole = values(1, false);
  for (const int chunks : {2, 4})
    for (const bool of_input : {false, true})
      for (const auto& [key, found] : values(chunks, of_input)) {
        const Index expert = key.second / chunks, chunk = key.second % chunks,
                    width = of_input ? columns / chunks : columns;
        for (Index i = 0; i < static_cast<Index>(found.size()); ++i) {
          const Index row = i / width + (of_input ? 0 : chunk * rows / chunks),
                      column = i % width + (of_input ? chunk * width : 0);
          EXPECT_EQ(found[i], whole.at({0, expert})[row * columns + column]) << chunks << " " << of_input << " " << i;
        }
      }
}

// An expert has its values wherever it lives, and is where the placement says.
TEST(Parameter, ValuesDoNotDependOnThePlacement) {
  const auto whole = units(make(layout_of(1, 0, 1), 5));
  const SeatOrders orders{{{0, {6, 2, 4, 0, 1, 5, 3}}}, ""};
  for (const auto& [ranks, expert_parallel] :
       std::vector<std::pair<int, int>>{{1, 1}, {2, 2}, {3, 3}, {6, 3}, {9, 9}}) {
    std::map<Index, int> held;
    for (int rank = 0; rank < ranks; ++rank) {
      Layout layout = layout_of(ranks, rank, expert_parallel);
      layout.seats = seats_on(layout, orders);
      const ParameterSet set = make(layout, 5);
      const Parameter& up = set[set.id("experts.up")];
      LayoutConfig options;
      options.seat_orders = std::make_shared<const SeatOrders>(orders);
      const std::vector<int> here = test::experts_at(options, 0, 7, {layout.place(), expert_parallel});
      EXPECT_EQ(up.held, std::vector<std::int64_t>(here.begin(), here.end()));
      for (const std::int64_t expert : up.held) {
        ++held[expert];
        EXPECT_EQ(up.held[up.local_unit(expert)], expert);
        EXPECT_EQ(place_of_unit(up, layout, expert), layout.place());
      }
      for (const auto& [key, values] : units(set)) EXPECT_EQ(values, whole.at(key)) << key.first << " " << key.second;
    }
    for (Index e = 0; e < 7; ++e) EXPECT_EQ(held[e], ranks / expert_parallel) << e;
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
    for (Index u = 0; u < p.local_units(); ++u) {
      const auto* first = reinterpret_cast<const Bf16*>(set.weight(p.id).data) + u * p.stride;
      const std::vector<Bf16> read = host_values(Vector<const Bf16>(first, p.unit));
      const std::vector<float>& of = values.at({p.id, p.held[u]});
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

/// How often each element of a placement's slab is in a shard; -1 where it has no value.
std::vector<int> owners(const ParameterSet& set, Placement placement, int among) {
  std::vector<int> count(static_cast<std::size_t>(set.slab_size(placement)), 0);
  for (const Parameter& p : set.all())
    if (p.placement == placement && !p.adds_to.empty()) std::fill_n(count.begin() + p.offset, p.span(), -1);
  for (int owner = 0; owner < among; ++owner)
    for (const Piece& piece : set.shard_of(placement, owner))
      for (Index i = piece.elements.first; i < piece.elements.last; ++i) ++count[i];
  return count;
}

/// Two blocks that end up in buckets of their own, and a second source in the midst of one.
std::vector<TensorSpec> blocks_of_tensors() {
  std::vector<TensorSpec> all{tensor("embedding", {370, 40}), tensor("gather", {370, 40}), tensor("norm", {12}),
                              tensor("experts.up", {7, 90, 60}, Placement::expert), tensor("dense", {100, 300})};
  all[1].adds_to = "embedding";
  const int blocks[] = {-1, -1, -1, 0, 1};
  for (std::size_t i = 0; i < all.size(); ++i) all[i].block = blocks[i];
  return all;
}

TEST(Parameter, ShardsHaveEveryElementWithAValueOnce) {
  const std::vector<Range> buckets{{1, 2}, {-1, 1}};
  for (const auto& [ranks, expert_parallel] :
       std::vector<std::pair<int, int>>{{1, 1}, {2, 1}, {2, 2}, {3, 3}, {3, 1}, {5, 1}, {6, 3}, {8, 2}, {40, 8}})
    for (int rank = 0; rank < ranks; ++rank) {
      const Layout layout = layout_of(ranks, rank, expert_parallel);
      ParameterSet set(layout, blocks_of_tensors(), Element::f32, buckets);
      set.allocate(test::queue(), 5);
      for (const auto& [placement, among, me] : {std::tuple(Placement::replicated, ranks, rank),
                                                 std::tuple(Placement::expert, layout.groups(), layout.group())}) {
        for (const int count : owners(set, placement, among)) ASSERT_TRUE(count == 1 || count == -1) << rank;
        EXPECT_EQ(set.shard(placement), set.shard_of(placement, me));
        EXPECT_EQ(std::ssize(host_values(set.first_moments(placement))), set.moment_elements(placement, me));
        EXPECT_EQ(set.first_moments(placement).extent(0), set.second_moments(placement).extent(0));
      }
      const auto parts = set.parts_of(Placement::replicated, buckets[1]);
      ASSERT_EQ(parts.size(), 3u) << "the two sources of a gradient, and the rest";
      EXPECT_EQ(parts[0].size(), parts[1].size()) << "so that both are cut alike";
      EXPECT_EQ(set.parts_of(Placement::replicated, buckets[0]).size(), 1u);
      EXPECT_THROW(set.parts_of(Placement::replicated, {-1, 2}), Error) << "by which nothing is cut";
    }
}

TEST(Parameter, WithoutShardsEveryRankHasAllMoments) {
  const ParameterSet set(layout_of(3, 1, 3), blocks_of_tensors());
  for (const Placement p : {Placement::replicated, Placement::expert}) {
    EXPECT_EQ(set.moment_elements(p, 1), set.slab_size(p));
    for (const Piece& piece : set.shard(p)) EXPECT_EQ(piece.at, piece.elements.first);
  }
  EXPECT_EQ(set.parts_of(Placement::replicated, {-1, 1}).size(), 1u);
}

TEST(Parameter, FloatsAreReadWhereTheyAre) {
  const ParameterSet set = make(layout_of(1, 0, 1), 5);
  for (const int id : {0, 2, 4}) EXPECT_EQ(static_cast<void*>(set.weight(id).data), static_cast<void*>(set.value(id)));
}

}  // namespace
}  // namespace switchyard
