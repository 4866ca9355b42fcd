// Closed forms of the bytes that ranks send each other.
#include <gtest/gtest.h>

#include <bit>

#include "config/estimate.hpp"
#include "config/even_routing.hpp"
#include "plan/sites.hpp"
#include "support/placement.hpp"

namespace switchyard::plan {
namespace {

// docs/science.md, "Rows across nodes": straight k(M − 1)/M rows of a token, by nodes
// (M − 1)(1 − C(E − E/M, k)/C(E, k)); limited g(M − 1)/M.
TEST(Bytes, AreTheClosedForms) {
  Config c = model();
  const double row = 32 * 4.0, tokens = 32 * 16, journeys = 4 * 2;
  for (const int nodes : {2, 4}) {
    const double straight = 4.0 * (nodes - 1) / nodes;
    c.layout.exchange = ExchangeKind::pairwise;
    EXPECT_NEAR(predict(c, site(8, nodes)).rows.across, straight * row * tokens * journeys, 1e-6);
    EXPECT_NEAR(predict(c, site(8, nodes)).rows.all, 4.0 * 7 / 8 * row * tokens * journeys, 1e-6);
    double missed = 1.0;
    for (int j = 0; j < 4; ++j) missed *= double(16 - 16 / nodes - j) / (16 - j);
    c.layout.exchange = ExchangeKind::node;
    EXPECT_NEAR(predict(c, site(8, nodes)).rows.across, (nodes - 1) * (1 - missed) * row * tokens * journeys, 1e-6);
    c.moe.combine_groups = 1;  // every row goes home by itself
    EXPECT_NEAR(predict(c, site(8, nodes)).rows.across,
                ((nodes - 1) * (1 - missed) + straight) / 2 * row * tokens * journeys, 1e-6);
    c.moe.combine_groups = 4;
  }
  c.moe.groups = 4, c.moe.groups_kept = 2;
  EXPECT_NEAR(predict(c, site(8, 4)).rows.across, 2.0 * 3 / 4 * row * tokens * journeys, 1e-6);
  c.layout.expert_parallel = 1;
  EXPECT_EQ(predict(c, site(8, 4)).rows.all, 0.0);
}

// Gradients: each of R ranks sends (R − 1)/R of what it has to the owners, and they as much to all; shards no less.
TEST(Bytes, OfSums) {
  Config c = model();
  c.layout.expert_parallel = 4;
  const double replicated = predict(c, site(4, 2)).sums.all / (2.0 * 4.0 * 3.0);  // every expert is on one rank
  EXPECT_GE(replicated, double(model_size(c).replicated));
  EXPECT_LT(replicated, double(model_size(c).replicated) + 4096.0 * 40);
  const double sums = predict(c, site(4, 2)).sums.all;
  c.layout.zero = 1;
  EXPECT_NEAR(predict(c, site(4, 2)).sums.all, sums, 1e-6 * sums);
  c.layout.expert_parallel = 2;  // now two ranks have each expert
  EXPECT_GT(predict(c, site(4, 2)).sums.all, sums);
  c.layout.expert_parallel = 1;
  EXPECT_EQ(predict(c, {1, 1, round_machine()}).sums.all, 0.0);
}

// Of the experts that each place has, whether they divide or not.
TEST(Bytes, OfSumsOfUnevenExperts) {
  Config c = model();
  for (const auto& [experts, expert_parallel] : {std::pair(10, 4), std::pair(2, 4), std::pair(8, 4)}) {
    c.moe.experts = experts, c.moe.top_k = 1, c.layout.expert_parallel = expert_parallel;
    const auto sums = [&](int hidden) {
      c.moe.hidden = hidden;
      return predict(c, site(8, 2)).sums.all;
    };
    double more = 0.0;  // of each expert once more 4096-blocks, to the other of two holders and back
    const auto slab = [&](int hidden) {
      c.moe.hidden = hidden;
      double elements = 0.0;
      for (const TensorSpec& t : architecture(c))
        if (t.placement == Placement::expert) elements += double(padded_unit(t.unit())) * double(t.units());
      return elements;
    };
    more = 2.0 * 4.0 * (slab(4096) - slab(2048));
    EXPECT_NEAR(sums(4096) - sums(2048), more, 1e-6 * more) << experts << " on " << expert_parallel;
  }
}

/// The same by counting out which groups are kept, of three experts each, and which two experts of these are chosen.
double counted_out(const std::vector<int>& away, int kept) {
  const int groups = static_cast<int>(away.size());
  double all = 0.0, some = 0.0;
  for (unsigned mask = 0; mask < 1u << groups; ++mask) {
    if (std::popcount(mask) != kept) continue;
    std::vector<bool> here;
    for (int g = 0; g < groups; ++g)
      for (int e = 0; (mask >> g & 1) != 0 && e < 3; ++e) here.push_back(e >= away[static_cast<std::size_t>(g)]);
    for (std::size_t a = 0; a < here.size(); ++a)
      for (std::size_t b = 0; b < a; ++b) all += 1.0, some += here[a] || here[b] ? 1.0 : 0.0;
  }
  return some / all;
}

TEST(EvenRouting, OfGroupsThatAreOnSeveralNodes) {
  for (const std::vector<int>& away : {std::vector{3, 3, 0, 0}, {2, 2, 1, 1}, {3, 1, 3, 3}, {3, 3, 3, 3}, {0, 2, 1, 0}})
    for (int kept = 1; kept <= 4; ++kept)
      EXPECT_NEAR(share_with_one_kept(away, 3, kept, 2), counted_out(away, kept), 1e-12) << kept;
}

// Only where groups of experts, kept or added, are broken up does it matter who has them.
TEST(Bytes, OfPlacedExperts) {
  Config c = model();
  c.layout.exchange = ExchangeKind::node;
  const double row = 32 * 4.0, tokens = 32 * 16, straight = 4.0 / 2;
  const Site there = site(8, 2);
  const double sums = predict(c, there).rows.across;
  test::place_at_random(c, 7, 2);
  EXPECT_NEAR(predict(c, there).rows.across, sums, 1e-9 * sums) << "within nodes";
  test::place_at_random(c, 7);
  EXPECT_NEAR(predict(c, there).rows.across, sums / 2 + straight * row * tokens * 4, 1e-9 * sums)
      << "rows go home one by one";
  c.layout.exchange = ExchangeKind::pairwise;
  EXPECT_NEAR(predict(c, there).rows.across, straight * row * tokens * 8, 1e-6);
}

}  // namespace
}  // namespace switchyard::plan
