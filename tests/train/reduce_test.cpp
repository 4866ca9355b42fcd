// ranks: 1 2 3 4 5 8
// Summed gradients have the bits of the grain tree on every layout, and a second source is added to its parameter.
#include "train/reduce.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "comm/collectives.hpp"
#include "support/queue.hpp"
#include "train/parameters.hpp"

namespace switchyard::train {
namespace {

using test::spread;

float tree(int id, Index unit, Index element, int first, int last) {
  std::vector<float> grains;
  for (int g = first; g < last; ++g) grains.push_back(spread(id, unit, element, g));
  return tree_sum(grains);
}

/// Fills every node of every parameter as backward would leave it.
void fill_nodes(const ParameterSet& parameters) {
  for (const Parameter& p : parameters.all()) {
    const auto& nodes = parameters.nodes(p.placement);
    for (std::size_t k = 0; k < nodes.size(); ++k) {
      std::vector<float> values;
      for (Index e = p.experts.first; e < p.experts.last; ++e)
        for (Index i = 0; i < p.unit; ++i)
          values.push_back(tree(p.id, e, i, nodes[k].first, nodes[k].first + nodes[k].size));
      test::write_units(parameters.gradients(p.placement).data() + k * parameters.slab_size(p.placement), p, values);
    }
  }
}

void check_sums(const ParameterSet& parameters, const Gradients& gradients, int grains) {
  for (const Parameter& p : parameters.all()) {
    const auto sums = test::read_units(gradients.slab[static_cast<int>(p.placement)].data(), p);
    for (Index i = 0; p.adds_to.empty() && i < test::elements(p); ++i) {
      float wanted = tree(p.id, p.experts.first + i / p.unit, i % p.unit, 0, grains);
      if (p.name == "embedding.weight") wanted += tree(parameters.find("embedding.gather"), 0, i, 0, grains);
      ASSERT_EQ(std::memcmp(&sums[i], &wanted, sizeof(float)), 0) << p.name << " " << i << ", G " << grains;
    }
  }
}

void check_layout(int degree, int grains) {
  SCOPED_TRACE(degree);
  test::Ranks ranks = test::make_ranks(degree, grains);
  ParameterSet& parameters = ranks.parameters;
  Gradients gradients;
  using Buckets = std::vector<Range>;
  for (const Buckets& buckets : {Buckets{all_blocks}, Buckets{{1, 2}, {-1, 1}}, Buckets{{1, 2}, {0, 1}, {-1, 0}}}) {
    fill_nodes(parameters);  // again, since the sum overwrites the first node
    for (const Range& blocks : buckets)
      reduce_gradients(test::queue(), ranks.groups, parameters, gradients, blocks, ranks.timers);
    check_sums(parameters, gradients, grains);
  }
  std::int64_t bytes = ranks.timers.bytes[static_cast<int>(Phase::reduce)];
  comm::all_reduce_sum(ranks.groups.world, &bytes, 1);
  EXPECT_EQ(bytes == 0, test::world_size() == 1);
}

TEST(Reduce, HasTheBitsOfTheTreeOnEveryLayout) {
  for (const int degree : test::degrees())
    for (const int grains : {1, 3, 8, 13}) check_layout(degree, grains);
}

TEST(Reduce, NeedsNoMemoryWhereTheRankHoldsGrains) {
  test::Ranks ranks = test::make_ranks(0);
  ParameterSet& parameters = ranks.parameters;
  Gradients gradients;
  reduce_gradients(test::queue(), ranks.groups, parameters, gradients, all_blocks, ranks.timers);
  if (!parameters.nodes(Placement::replicated).empty()) {
    EXPECT_EQ(gradients.slab[0].data(), parameters.gradients(Placement::replicated).data());
  }
  EXPECT_EQ(gradients.slab[1].data(), parameters.gradients(Placement::expert).data());
}

}  // namespace
}  // namespace switchyard::train
