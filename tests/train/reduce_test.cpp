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
      for (const std::int64_t e : p.held)
        for (Index i = 0; i < p.unit; ++i)
          values.push_back(tree(p.id, e, i, nodes[k].first, nodes[k].first + nodes[k].size));
      test::write_units(parameters.gradients(p.placement).data() + k * parameters.slab_size(p.placement), p, values);
    }
  }
}

/// Of the elements that this rank updates.
void check_sums(const ParameterSet& parameters, const Gradients& gradients, int grains) {
  for (const Parameter& p : parameters.all()) {
    const auto sums = test::read_units(gradients.slab[static_cast<int>(p.placement)].data(), p);
    for (Index i = 0; p.adds_to.empty() && i < test::elements(p); ++i) {
      if (!test::piece_with(parameters, p.placement, p.offset + i / p.unit * p.stride + i % p.unit)) continue;
      float wanted = tree(p.id, p.held[i / p.unit], i % p.unit, 0, grains);
      if (p.name == "embedding.weight") wanted += tree(parameters.find("embedding.gather"), 0, i, 0, grains);
      ASSERT_EQ(std::memcmp(&sums[i], &wanted, sizeof(float)), 0) << p.name << " " << i << ", G " << grains;
    }
  }
}

/// Bytes that all ranks have sent.
std::int64_t sent(const test::Ranks& ranks) {
  std::int64_t bytes = ranks.timers.bytes[static_cast<int>(Phase::reduce)];
  comm::all_reduce_sum(ranks.groups.world, &bytes, 1);
  return bytes;
}

/// Returns what all ranks sent.
std::int64_t check_layout(int degree, int grains, const std::vector<Range>& buckets, bool sharded) {
  test::Ranks ranks =
      test::make_ranks(degree, grains, test::tensors_of_every_kind(), sharded ? buckets : std::vector<Range>{});
  Gradients gradients;
  fill_nodes(ranks.parameters);
  for (const Range& blocks : buckets)
    reduce_gradients(test::queue(), ranks.groups, ranks.parameters, gradients, blocks, ranks.timers);
  check_sums(ranks.parameters, gradients, grains);
  return sent(ranks);
}

TEST(Reduce, HasTheBitsOfTheTreeOnEveryLayout) {
  for (const int degree : test::degrees())
    for (const int grains : {1, 3, 8, 13})
      for (const std::vector<Range>& buckets : test::bucketings) {
        SCOPED_TRACE(degree);
        const std::int64_t all = check_layout(degree, grains, buckets, false),
                           owned = check_layout(degree, grains, buckets, true);
        EXPECT_EQ(all == 0, test::world_size() == 1);
        EXPECT_TRUE(owned < all || all == 0) << "sums go to their owners only";
      }
}

/// All buckets begin before the first is waited for, and are polled in between.
void check_beside(int degree, int grains, const std::vector<Range>& buckets, bool sharded) {
  test::Ranks ranks =
      test::make_ranks(degree, grains, test::tensors_of_every_kind(), sharded ? buckets : std::vector<Range>{});
  Gradients gradients;
  fill_nodes(ranks.parameters);
  for (const Range& blocks : buckets) {
    begin_reduction(test::queue(), ranks.groups, ranks.parameters, gradients, blocks, ranks.timers);
    for (int k = ranks.groups.world.rank() % 3; k > 0; --k) gradients.poll();
  }
  EXPECT_EQ(gradients.under_way.size() + gradients.hops.size(), buckets.size());
  finish_reductions(test::queue(), ranks.parameters, gradients);
  check_sums(ranks.parameters, gradients, grains);
  EXPECT_TRUE(gradients.under_way.empty());
  ASSERT_EQ(gradients.hops.size(), buckets.size());
  std::int64_t bytes = 0;
  for (const moe::Hop& hop : gradients.hops) {
    bytes += hop.bytes;
    EXPECT_EQ(hop.start > 0.0, hop.bytes + hop.received > 0);
    EXPECT_TRUE(hop.start <= hop.end && 0.0 <= hop.waited && hop.waited <= hop.end - hop.start);
  }
  EXPECT_EQ(bytes, ranks.timers.bytes[static_cast<int>(Phase::reduce)]);
}

TEST(Reduce, HasThemTooWhereBucketsTravelTogether) {
  for (const int degree : test::degrees())
    for (const int grains : {1, 3, 8})
      for (const std::vector<Range>& buckets : test::bucketings)
        for (const bool sharded : {false, true}) check_beside(degree, grains, buckets, sharded);
}

/// What owner `owner` has made of an element.
float updated(Index element, int owner) { return static_cast<float>(element) + 0.25f * static_cast<float>(owner + 1); }

/// Each rank has updated its shard; what it has of others is old. Returns what all ranks send.
std::int64_t gather_updated(test::Ranks& ranks, Placement placement, int owners, int me) {
  ParameterSet& parameters = ranks.parameters;
  const Index size = parameters.slab_size(placement);
  std::vector<float> mine(size, -1.0f), wanted(size, -1.0f);
  for (int owner = 0; owner < owners; ++owner)
    for (const Piece& piece : parameters.shard_of(placement, owner))
      for (Index i = piece.elements.first; i < piece.elements.last; ++i) {
        wanted[i] = updated(i, owner);
        if (owner == me) mine[i] = wanted[i];
      }
  test::write(parameters.values(placement).data(), mine);
  Gradients gradients;
  ranks.timers.clear();
  gather_values(test::queue(), ranks.groups, parameters, gradients, ranks.timers);
  test::queue().fence("test");
  EXPECT_EQ(test::read(parameters.values(placement).data(), size), wanted) << "rank " << me << " of " << owners;
  return sent(ranks);
}

TEST(Gather, GivesWhatTheOwnersHaveToAll) {
  for (const int degree : test::degrees())
    for (const std::vector<Range>& buckets : test::bucketings) {
      SCOPED_TRACE(degree);
      test::Ranks ranks = test::make_ranks(degree, 8, test::tensors_of_every_kind(), buckets);
      const Layout& layout = ranks.groups.layout;
      gather_updated(ranks, Placement::replicated, layout.ranks, layout.rank);
      const std::int64_t bytes = gather_updated(ranks, Placement::expert, layout.groups(), layout.group());
      std::int64_t wanted = 0;  // every value to all that hold it but its owner, padding included
      for (const Parameter& p : ranks.parameters.all())
        if (p.adds_to.empty())
          wanted += p.stride * 4 *
                    (p.placement == Placement::expert ? p.shape[0] * (layout.groups() - 1) : Index{layout.ranks - 1});
      EXPECT_EQ(bytes, wanted);
    }
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
