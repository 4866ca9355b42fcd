// ranks: 1 2 3 4 5 8
// Sums that many callers share: each has what it would have had by itself, whatever the number of ranks.
#include "comm/joint_sum.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace switchyard::comm {
namespace {

/// Value i of grain g of a caller: another order of additions gives other bits.
double value_of(int caller, int g, std::size_t i) {
  return std::sin(1.0 + caller * 31.0 + g * 7.0 + static_cast<double>(i)) * std::ldexp(1.0, (g * 5 + caller) % 23);
}

std::vector<double> grains_of(const Layout& layout, int caller, std::size_t n) {
  std::vector<double> all;
  for (auto g = layout.my_grains().first; g < layout.my_grains().last; ++g)
    for (std::size_t i = 0; i < n; ++i) all.push_back(value_of(caller, static_cast<int>(g), i));
  return all;
}

void check_callers(int grains, const std::vector<std::size_t>& widths) {
  const Groups groups(Communicator::duplicate(MPI_COMM_WORLD), LayoutConfig{}, grains);
  JointSum sum(groups);
  std::vector<JointSum::Place> places;
  for (std::size_t c = 0; c < widths.size(); ++c) {
    const std::vector<std::int64_t> counts(c, groups.layout.rank + 1);  // the first caller has none
    places.push_back(sum.add(counts, grains_of(groups.layout, static_cast<int>(c), widths[c]), widths[c]));
  }
  sum.reduce();
  const std::int64_t ranks = groups.layout.ranks;
  for (std::size_t c = 0; c < widths.size(); ++c) {
    ASSERT_EQ(sum.values(places[c]).size(), widths[c]);
    for (std::size_t i = 0; i < widths[c]; ++i) {
      std::vector<double> leaves;
      for (int g = 0; g < grains; ++g) leaves.push_back(value_of(static_cast<int>(c), g, i));
      EXPECT_EQ(sum.values(places[c])[i], tree_sum(leaves)) << "caller " << c << ", value " << i << ", G " << grains;
    }
    ASSERT_EQ(sum.counts(places[c]).size(), c);
    for (const std::int64_t count : sum.counts(places[c])) EXPECT_EQ(count, ranks * (ranks + 1) / 2);
  }
}

TEST(JointSum, EveryCallerHasItsOwn) {
  for (const int grains : {1, 2, 3, 6, 8, 13}) {
    check_callers(grains, {2});
    check_callers(grains, {5, 1, 0, 17, 2});
    check_callers(grains, {});
  }
}

TEST(JointSum, RefusesAnotherNumberOfGrains) {
  const Groups groups(Communicator::duplicate(MPI_COMM_WORLD), LayoutConfig{}, 8);
  JointSum sum(groups);
  EXPECT_THROW(sum.add({}, std::vector<double>(3 * 8 + 1), 3), Error);
}

/// Values of some ranks, none of others; each kind of element.
template <class T>
void check_gather() {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  std::vector<std::int64_t> counts;
  std::vector<T> expected, mine;
  for (int r = 0; r < world.size(); ++r) {
    counts.push_back(r % 3);
    for (int i = 0; i < r % 3; ++i) {
      expected.push_back(static_cast<T>(10 * r + i));
      if (r == world.rank()) mine.push_back(expected.back());
    }
  }
  EXPECT_EQ(gather_on_root(world, mine, counts), world.rank() == 0 ? expected : std::vector<T>());
}

TEST(GatherOnRoot, KeepsTheOrderOfRanks) {
  check_gather<std::uint8_t>();
  check_gather<float>();
  check_gather<std::int32_t>();
  check_gather<double>();
  check_gather<std::int64_t>();
}

}  // namespace
}  // namespace switchyard::comm
