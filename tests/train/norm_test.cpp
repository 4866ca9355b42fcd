// ranks: 1 2 3 4 5 8
// The gradient norm has the same bits on every layout, those of plain loops over the whole tensors, and names what is
// not finite.
#include "train/norm.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/queue.hpp"
#include "train/parameters.hpp"

namespace switchyard::train {
namespace {

using test::spread;

/// Summed gradients as every layout has them; element `i` of expert `expert` of `name` is replaced by `value`.
struct Replaced {
  std::string name;
  std::int64_t expert = 0;
  Index i = 0;
  float value = 0.0f;
};

/// What other ranks own is no sum.
void spoil_others(const ParameterSet& parameters, const Gradients& gradients) {
  for (const Placement placement : {Placement::replicated, Placement::expert}) {
    const Vector<float>& slab = gradients.slab[static_cast<int>(placement)];
    std::vector<float> values = test::read(slab.data(), parameters.slab_size(placement));
    for (Index i = 0; i < std::ssize(values); ++i)
      if (!test::piece_with(parameters, placement, i)) values[i] = std::numeric_limits<float>::quiet_NaN();
    test::write(slab.data(), values);
  }
}

Gradients make_gradients(const ParameterSet& parameters, const std::vector<Replaced>& replaced, int seed) {
  Gradients gradients;
  for (int p = 0; p < 2; ++p) gradients.slab[p] = Vector<float>("sum", parameters.slab_size(Placement(p)));
  for (const Parameter& p : parameters.all()) {
    std::vector<float> values;
    for (const std::int64_t e : p.held)
      for (Index i = 0; i < p.unit; ++i) values.push_back(spread(p.id, e, i, seed));
    for (const Replaced& r : replaced)
      if (r.name == p.name && std::find(p.held.begin(), p.held.end(), r.expert) != p.held.end())
        values[p.local_unit(r.expert) * p.unit + r.i] = r.value;
    test::write_units(gradients.slab[static_cast<int>(p.placement)].data(), p, values);
  }
  if (parameters.sharded()) spoil_others(parameters, gradients);
  return gradients;
}

/// Squares in the documented order: 16 chains a block of `length`, halves added, blocks in order.
double sum_by_blocks(const std::vector<float>& unit, Index length) {
  const Index n = static_cast<Index>(unit.size());
  double sum = 0.0;
  for (Index first = 0; first < n; first += length) {
    double lane[16] = {};
    for (Index i = first; i < std::min(first + length, n); ++i)
      lane[(i - first) % 16] += double(unit[i]) * unit[i];  // exact products: the same with and without fma
    for (int half = 8; half; half /= 2)
      for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
    sum += lane[0];
  }
  return sum;
}

/// The norm without a layout; `plain`: one chain over everything.
double expected_norm(const ParameterSet& parameters, int seed, bool plain) {
  double total = 0.0, chain = 0.0;
  for (const Parameter& p : parameters.all())
    for (std::int64_t e = 0; p.adds_to.empty() && e < (p.placement == Placement::expert ? p.shape[0] : 1); ++e) {
      std::vector<float> unit;
      for (Index i = 0; i < p.unit; ++i) unit.push_back(spread(p.id, e, i, seed));
      total += sum_by_blocks(unit, 4096);
      for (const float x : unit) chain += double(x) * x;
    }
  return std::sqrt(plain ? chain : total);
}

NormResult norm_of(int degree, const std::vector<Replaced>& replaced, const std::vector<Range>& sharded = {}) {
  const test::Ranks ranks = test::make_ranks(degree, 8, test::tensors_of_every_kind(), sharded);
  NormMemory memory;
  return gradient_norm(test::queue(), ranks.groups, ranks.parameters, make_gradients(ranks.parameters, replaced, 0),
                       memory);
}

TEST(Norm, HasTheSameBitsOnEveryLayout) {
  constexpr int seeds = 12;  // the root hides the last bit of a sum from time to time
  const ParameterSet whole(Layout{}, test::tensors_of_every_kind());
  double expected[seeds], chain[seeds], of_device[seeds] = {};
  for (int seed = 0; seed < seeds; ++seed)
    expected[seed] = expected_norm(whole, seed, false), chain[seed] = expected_norm(whole, seed, true);
  std::size_t turn = 0;
  for (const int degree : test::degrees())
    for (const bool sharded : {false, true}) {
      const test::Ranks ranks =
          test::make_ranks(degree, 8, test::tensors_of_every_kind(),
                           sharded ? test::bucketings[turn++ % test::bucketings.size()] : std::vector<Range>{});
      NormMemory memory;
      for (int seed = 0; seed < seeds; ++seed) {
        const NormResult result = gradient_norm(test::queue(), ranks.groups, ranks.parameters,
                                                make_gradients(ranks.parameters, {}, seed), memory);
        EXPECT_NEAR(result.norm, expected[seed], 1e-14 * expected[seed]);
        if (!on_host && of_device[seed] == 0.0) of_device[seed] = result.norm;  // in an order of its own
        EXPECT_EQ(result.norm, on_host ? expected[seed] : of_device[seed])
            << "EP " << degree << (sharded ? ", shards" : "");
        EXPECT_NEAR(result.norm, chain[seed], 1e-12 * chain[seed]);
        EXPECT_EQ(result.first_parameter, "");
        EXPECT_EQ(result.first_expert, -1);
      }
    }
}

/// One tensor of 13100 elements in [0.5, 1): the number of seeds of 40 for which blocks of `length` give other bits.
int seeds_with_other_bits(Index length) {
  constexpr Index n = 13100;
  const test::Ranks ranks = test::make_ranks(0, 8, {test::tensor("only", {n})});
  NormMemory memory;
  Gradients gradients;
  gradients.slab[0] = Vector<float>("sum", ranks.parameters.slab_size(Placement::replicated));
  int differ = 0;
  for (int seed = 0; seed < 40; ++seed) {
    std::vector<float> values;
    for (Index i = 0; i < n; ++i) values.push_back(0.75f + spread(0, seed, i, 0) / 4.1f);
    test::write(gradients.slab[0].data(), values);
    differ += gradient_norm(test::queue(), ranks.groups, ranks.parameters, gradients, memory).norm !=
              std::sqrt(sum_by_blocks(values, length));
  }
  return differ;
}

TEST(Norm, BlocksHave4096Elements) {
  if (!on_host) GTEST_SKIP() << "sums of a device have an order of their own";
  EXPECT_EQ(seeds_with_other_bits(4096), 0);
  EXPECT_GT(seeds_with_other_bits(2048), 2);
  EXPECT_GT(seeds_with_other_bits(1 << 20), 2);
}

TEST(Norm, NamesWhereTheBackwardPassFirstWasNotFinite) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const int degree : test::degrees())
    for (const bool sharded : {false, true}) {
      const auto buckets = sharded ? test::bucketings[1] : std::vector<Range>{};
      const NormResult expert = norm_of(degree,
                                        {{"embedding.weight", 0, 3, nan},
                                         {"norm.weight", 0, 6, nan},
                                         {"experts.up", 3, 4499, infinity},
                                         {"experts.up", 4, 0, nan}},
                                        buckets);
      EXPECT_FALSE(std::isfinite(expert.norm));
      EXPECT_EQ(expert.first_parameter, "experts.up");
      EXPECT_EQ(expert.first_expert, 3);
      const NormResult dense =
          norm_of(degree, {{"experts.up", 0, 0, nan}, {"dense.weight", 0, 5000, -infinity}}, buckets);
      EXPECT_EQ(dense.first_parameter, "dense.weight");
      EXPECT_EQ(dense.first_expert, -1);
      const NormResult alone = norm_of(degree, {{"dense.weight", 0, 13099, nan}, {"alone.up", 0, 14, nan}}, buckets);
      EXPECT_EQ(alone.first_parameter, "alone.up");
      EXPECT_EQ(alone.first_expert, 0);
    }
}

TEST(Norm, TheLargestFloatsDoNotOverflow) {
  const float largest = std::numeric_limits<float>::max();
  const NormResult result = norm_of(0, {{"dense.weight", 0, 0, largest}, {"dense.weight", 0, 1, largest}});
  EXPECT_TRUE(std::isfinite(result.norm));
  EXPECT_NEAR(result.norm / largest, std::sqrt(2.0), 1e-12);
}

}  // namespace
}  // namespace switchyard::train
