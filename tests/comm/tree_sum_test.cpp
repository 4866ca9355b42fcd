// ranks: 1 2 3 4 5 8
// Sums that travel while their ranks do other things: the bits of tree_sum, for their owners or for all, several at a
// time in one memory, however often each rank polls; and as many bytes as they said.
#include "comm/tree_sum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <numeric>
#include <random>

#include "base/clock.hpp"
#include "base/ledger.hpp"
#include "comm/groups.hpp"
#include "config/shards.hpp"

namespace switchyard::comm {
namespace {

constexpr std::int64_t period = 997;  // values repeat: no multiple of it is a cut
constexpr float untouched = -7.0f;

/// Element i of grain g of sum s, spread so widely that another order of additions gives other bits.
float value_of(int s, int g, std::int64_t i) {
  const std::uint64_t h = (i * 2654435761u + g * 40503u + s * 977u + 12345u) * 0x9E3779B97F4A7C15ull;
  return static_cast<float>((static_cast<double>(h >> 11) / 4503599627370496.0 - 1.0) *
                            std::ldexp(1.0, static_cast<int>(h % 13) - 6));
}

/// The first `period` elements.
std::vector<float> tree_sums(int s, int first, int last) {
  std::vector<float> sums, grains(last - first);
  for (std::int64_t i = 0; i < period; ++i) {
    for (int g = first; g < last; ++g) grains[g - first] = value_of(s, g, i);
    sums.push_back(tree_sum(grains));
  }
  return sums;
}

/// A slab of n elements, whose grains are spread over the ranks: one or none where there are few.
struct Slab {
  int number, grains;
  std::int64_t n;
  bool share, in_place;
  std::vector<std::vector<TreeNode>> nodes_of;
  std::vector<float> nodes, out;

  Slab(const Communicator& comm, int s, int of, std::int64_t elements, bool to_all, bool first_node)
      : number(s), grains(of), n(elements), share(to_all), in_place(first_node), out(n + 1, untouched) {
    const Layout layout{comm.size(), comm.rank(), 1, grains};
    for (int r = 0; r < comm.size(); ++r) {
      const Range held = layout.grains_of(r);
      nodes_of.push_back(tree_nodes(static_cast<int>(held.first), static_cast<int>(held.last)));
    }
    for (const TreeNode& node : nodes_of[comm.rank()]) {
      const auto sums = tree_sums(s, node.first, node.first + node.size);
      for (std::int64_t i = 0; i < n; ++i) nodes.push_back(sums[i % period]);
    }
    in_place = in_place && !nodes.empty();
  }
  SlabPart part() { return {nodes.data(), n, n, in_place ? nodes.data() : out.data()}; }

  void check(const Communicator& comm) const {
    const Range own = share ? Range{0, n} : slice_of(n, comm.size(), comm.rank());
    const auto wanted = tree_sums(number, 0, grains);
    const std::vector<float>& got = in_place ? nodes : out;
    for (std::int64_t i = 0; i < n; ++i) {
      const bool mine = i >= own.first && i < own.last;
      if (in_place && !mine) continue;
      const float of = mine ? wanted[i % period] : untouched;
      ASSERT_EQ(std::memcmp(&got[i], &of, sizeof(float)), 0) << i << " of " << n << ", G " << grains;
    }
    EXPECT_EQ(out[n], untouched) << "wrote past the slab";
  }
};

std::deque<Slab> slabs_of(const Communicator& comm, const std::vector<std::int64_t>& lengths) {
  std::deque<Slab> slabs;
  for (const std::int64_t n : lengths)
    for (const int grains : {1, 3, 8}) {
      const int s = static_cast<int>(slabs.size());
      slabs.emplace_back(comm, s, grains, n, s % 3 != 0, s % 2 == 0);
    }
  return slabs;
}

std::int64_t over_ranks(const Communicator& comm, std::int64_t value) {
  all_reduce_sum(comm, &value, 1);
  return value;
}

/// All begin at once; ranks poll as often as they like, then wait for the rest in order.
void check_together(const std::vector<std::int64_t>& lengths) {
  const Communicator comm = Communicator::duplicate(MPI_COMM_WORLD);
  std::deque<Slab> slabs = slabs_of(comm, lengths);
  SumMemory memory;
  std::deque<TreeSum> sums;
  for (Slab& slab : slabs) sums.emplace_back(comm, slab.nodes_of, slab.part(), slab.share, memory);
  ledger::open(comm.size());
  std::mt19937 random(comm.rank());
  for (int polls = static_cast<int>(random() % 40); polls > 0; --polls)
    for (TreeSum& sum : sums)
      if (!sum.poll()) break;
  for (TreeSum& sum : sums) sum.wait();
  ledger::close();
  std::int64_t sent = 0, received = 0, posted = 0;
  for (const TreeSum& sum : sums) sent += sum.bytes_sent(), received += sum.bytes_received();
  for (const ledger::Sent& entry : ledger::entries()) posted += entry.bytes;
  for (const Slab& slab : slabs) slab.check(comm);
  EXPECT_EQ(sent, posted);
  EXPECT_EQ(over_ranks(comm, sent), over_ranks(comm, received));
  EXPECT_EQ(over_ranks(comm, sent) == 0, comm.size() == 1);
}

TEST(TreeSum, HasTheBitsOfTheTreeWhereSeveralAreUnderWay) {
  check_together({0, 1, 4096, 4097, 20000, 50000});
  check_together({50000, 3, 20000});
}

TEST(TreeSum, GoesInRounds) { check_together({(std::int64_t{3} << 20) + 4099}); }

// Of the size that no message sends at once: nodes, sums of them and the rounds that follow move in polls alone.
TEST(TreeSum, ComesToItsEndByPollsAlone) {
  const Communicator comm = Communicator::duplicate(MPI_COMM_WORLD);
  std::deque<Slab> slabs = slabs_of(comm, {(std::int64_t{2} << 20) + 4099});
  SumMemory memory;
  std::deque<TreeSum> sums;
  for (Slab& slab : slabs) sums.emplace_back(comm, slab.nodes_of, slab.part(), slab.share, memory);
  const double last = now() + 120.0;
  for (TreeSum& sum : sums)
    while (!sum.poll() && now() < last) {
    }
  for (const TreeSum& sum : sums) ASSERT_TRUE(sum.done());
  for (const Slab& slab : slabs) slab.check(comm);
}

// One that is dropped has been waited for, or its peers would wait for it.
TEST(TreeSum, IsWaitedForWhereItIsDropped) {
  const Communicator comm = Communicator::duplicate(MPI_COMM_WORLD);
  Slab slab(comm, 1, 5, 50000, true, false);
  SumMemory memory;
  { TreeSum sum(comm, slab.nodes_of, slab.part(), true, memory); }
  slab.check(comm);
}

}  // namespace
}  // namespace switchyard::comm
