// ranks: 1 2 3 4 5 8
// Gathers, and sums along the grain tree: the bits of tree_sum on every number of ranks and grains.
#include "comm/collectives.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "comm/groups.hpp"

namespace switchyard::comm {
namespace {

constexpr int grain_counts[] = {1, 2, 3, 5, 6, 7, 8, 13};

Communicator world() { return Communicator::duplicate(MPI_COMM_WORLD); }

/// Value i of grain g: magnitudes spread so widely that another order of additions gives other bits.
double value_of(int g, std::int64_t i) {
  const std::uint64_t h = (i * 2654435761u + g * 40503u + 12345u) * 0x9E3779B97F4A7C15ull;
  return (static_cast<double>(h >> 11) / 4503599627370496.0 - 1.0) * std::ldexp(1.0, static_cast<int>(h % 13) - 6);
}

constexpr std::int64_t period = 997;  // values repeat after this many elements: no multiple of it is a cut

/// The tree sums of grains [first, last) for the first `period` elements, from tree_sum alone.
template <class T>
std::vector<T> tree_sums(int first, int last) {
  std::vector<T> sums;
  for (std::int64_t i = 0; i < period; ++i) {
    std::vector<T> values;
    for (int g = first; g < last; ++g) values.push_back(static_cast<T>(value_of(g, i)));
    sums.push_back(tree_sum(values));
  }
  return sums;
}

/// All ranks' nodes, and this rank's node sums (nodes, n).
template <class T>
struct Holding {
  std::vector<std::vector<TreeNode>> nodes_of;
  std::vector<T> mine;
  Holding(const Communicator& comm, int grains, std::int64_t n) {
    const Layout layout{comm.size(), comm.rank(), 1, grains};
    for (int r = 0; r < comm.size(); ++r) {
      const Range held = layout.grains_of(r);
      nodes_of.push_back(tree_nodes(static_cast<int>(held.first), static_cast<int>(held.last)));
    }
    for (const TreeNode& node : nodes_of[comm.rank()]) {
      const auto sums = tree_sums<T>(node.first, node.first + node.size);
      for (std::int64_t i = 0; i < n; ++i) mine.push_back(sums[i % period]);
    }
  }
};

/// The first element whose bits are not those of the tree; n if there is none.
template <class T>
std::int64_t first_wrong(const T* got, int grains, std::int64_t n) {
  const auto wanted = tree_sums<T>(0, grains);
  for (std::int64_t i = 0; i < n; ++i)
    if (std::memcmp(&got[i], &wanted[i % period], sizeof(T)) != 0) return i;
  return n;
}

TEST(TreeAllReduce, DoublesHaveTheBitsOfTheTree) {
  const Communicator comm = world();
  const std::int64_t n = 37;
  for (int grains : grain_counts) {
    const Holding<double> held(comm, grains, n);
    const std::vector<double> sums = tree_all_reduce(comm, held.nodes_of, held.mine, n);
    ASSERT_EQ(static_cast<std::int64_t>(sums.size()), n);
    EXPECT_EQ(first_wrong(sums.data(), grains, n), n) << grains;
  }
}

template <class T>
int sums_that_notice_a_chain() {
  const auto sums = tree_sums<T>(0, 8);
  int differ = 0;
  for (std::int64_t i = 0; i < period; ++i) {
    T chain = 0;
    for (int g = 0; g < 8; ++g) chain += static_cast<T>(value_of(g, i));
    differ += chain != sums[i];
  }
  return differ;
}

TEST(TreeAllReduce, TheTestValuesNoticeAnotherOrder) {
  EXPECT_GT(sums_that_notice_a_chain<float>(), period / 10);
  EXPECT_GT(sums_that_notice_a_chain<double>(), period / 10);
}

void check_slab(int grains, std::int64_t n, bool in_place) {
  const Communicator comm = world();
  Holding<float> held(comm, grains, n);
  std::vector<float> out(n + 1, -7.0f);
  Timers timers;
  SumMemory memory;
  const bool alias = in_place && !held.mine.empty();
  float* result = alias ? held.mine.data() : out.data();
  tree_all_reduce(comm, held.nodes_of, SlabPart{held.mine.data(), n, n, result}, memory, timers);
  EXPECT_EQ(first_wrong(result, grains, n), n) << "G " << grains;
  if (!alias) {
    EXPECT_EQ(out[n], -7.0f) << "wrote past the slab";
  }
  // Over all ranks: every node travels once but the owners' own share, every sum to all others.
  std::int64_t sent[1] = {timers.bytes[static_cast<int>(Phase::reduce)]};
  if (comm.size() == 1) {
    EXPECT_EQ(sent[0], 0);
  }
  all_reduce_sum(comm, sent, 1);
  std::int64_t nodes = 0, own = 0;
  for (int r = 0; r < comm.size(); ++r) {
    const Range blocks = split_evenly((n + 4095) / 4096, comm.size(), r);
    const std::int64_t slice = std::min(blocks.last * 4096, n) - std::min(blocks.first * 4096, n);
    nodes += static_cast<std::int64_t>(held.nodes_of[r].size()) * n;
    own += static_cast<std::int64_t>(held.nodes_of[r].size()) * slice;
  }
  EXPECT_EQ(sent[0], (nodes - own + n * (comm.size() - 1)) * 4);
}

TEST(TreeAllReduce, SlabsHaveTheBitsOfTheTree) {
  for (int grains : grain_counts)
    for (std::int64_t n : {1, 100, 4096, 4097, 50000})
      for (bool in_place : {false, true}) check_slab(grains, n, in_place);
}

TEST(TreeAllReduce, SlabsOfSeveralRounds) {
  check_slab(5, std::int64_t{9} << 20, false);
  check_slab(2, (std::int64_t{9} << 20) + 4099, true);
}

/// Owners get their slice alone; all of them then give theirs to all.
void check_scatter(int grains, std::int64_t n) {
  const Communicator comm = world();
  const Holding<float> held(comm, grains, n);
  std::vector<float> out(n, -7.0f);
  Timers timers;
  SumMemory memory;
  tree_reduce_scatter(comm, held.nodes_of, SlabPart{held.mine.data(), n, n, out.data()}, memory, timers);
  const Range blocks = split_evenly((n + 4095) / 4096, comm.size(), comm.rank());
  const Range own{std::min(blocks.first * 4096, n), std::min(blocks.last * 4096, n)};
  const auto wanted = tree_sums<float>(0, grains);
  for (std::int64_t i = 0; i < n; ++i)
    ASSERT_EQ(out[i], i >= own.first && i < own.last ? wanted[i % period] : -7.0f) << i << " of " << n;
  const std::int64_t scattered = timers.bytes[static_cast<int>(Phase::reduce)];
  share_slices(comm, out.data(), n, timers);
  EXPECT_EQ(first_wrong(out.data(), grains, n), n) << "G " << grains;
  EXPECT_EQ(timers.bytes[static_cast<int>(Phase::reduce)] - scattered, own.size() * 4 * (comm.size() - 1));
}

TEST(TreeReduceScatter, EachOwnerHasTheSumsOfItsSlice) {
  for (int grains : {1, 5, 8})
    for (std::int64_t n : {0, 1, 4096, 4097, 50000}) check_scatter(grains, n);
  check_scatter(3, (std::int64_t{3} << 20) + 5);
}

TEST(TreeAllReduce, AnEmptySlab) {
  const Communicator comm = world();
  Timers timers;
  SumMemory memory;
  const Holding<float> held(comm, 8, 0);
  tree_all_reduce(comm, held.nodes_of, SlabPart{nullptr, 0, 0, nullptr}, memory, timers);
  EXPECT_EQ(timers.bytes[static_cast<int>(Phase::reduce)], 0);
}

TEST(Collectives, GathersKeepRankOrderAndLengths) {
  const Communicator comm = world();
  const std::vector<std::int64_t> mine(comm.rank() % 3, comm.rank());  // some ranks give nothing
  std::vector<std::int64_t> wanted;
  for (int r = 0; r < comm.size(); ++r) wanted.insert(wanted.end(), r % 3, r);
  EXPECT_EQ(all_gather(comm, mine), wanted);
  std::vector<std::int64_t> counts;
  for (int r = 0; r < comm.size(); ++r) counts.push_back(r % 3);
  EXPECT_EQ(all_gather(comm, std::vector<double>(mine.begin(), mine.end()), counts),
            std::vector<double>(wanted.begin(), wanted.end()));
  const auto texts = all_gather(comm, std::string(comm.rank() % 3, static_cast<char>('a' + comm.rank())));
  ASSERT_EQ(static_cast<int>(texts.size()), comm.size());
  for (int r = 0; r < comm.size(); ++r) EXPECT_EQ(texts[r], std::string(r % 3, static_cast<char>('a' + r)));
}

/// Rounds cut between ranks, within one, and are larger than all; what a rank has beyond its number stays there.
template <class T>
void check_gather(std::int64_t round) {
  const Communicator comm = world();
  std::vector<T> wanted, mine, all;
  std::vector<std::int64_t> counts;
  for (int r = 0; r < comm.size(); ++r) {
    counts.push_back(r % 3 == 1 ? 0 : 4 + r);
    for (std::int64_t i = 0; i < counts.back(); ++i) wanted.push_back(static_cast<T>(16 * r + i));
  }
  for (std::int64_t i = 0; i < counts[comm.rank()] + 2; ++i) mine.push_back(static_cast<T>(16 * comm.rank() + i));
  if (comm.rank() == 0) all.resize(wanted.size());
  gather_elements(comm, mine.data(), counts, sizeof(T), all.data(), round);
  EXPECT_EQ(all, comm.rank() == 0 ? wanted : std::vector<T>()) << round;
  EXPECT_EQ(gather_on_root(comm, mine, counts), all);
}

TEST(Collectives, GathersInRoundsAreWhole) {
  for (const std::int64_t round : {1, 3, 4, 7, 1000}) {
    check_gather<std::uint8_t>(round);
    check_gather<float>(round);
    check_gather<double>(round);
  }
}

TEST(Collectives, SumsMaximaAndBroadcast) {
  const Communicator comm = world();
  std::int64_t sums[2] = {comm.rank() + 1, std::int64_t{1} << 40};
  all_reduce_sum(comm, sums, 2);
  EXPECT_EQ(sums[0], comm.size() * (comm.size() + 1) / 2);
  EXPECT_EQ(sums[1], comm.size() * (std::int64_t{1} << 40));
  std::int64_t largest = comm.rank();
  all_reduce_max(comm, &largest, 1);
  EXPECT_EQ(largest, comm.size() - 1);
  double value = -1.5 * comm.rank();
  all_reduce_max(comm, &value, 1);
  EXPECT_EQ(value, 0.0);
  int number = comm.rank() == comm.size() - 1 ? 42 : 0;
  broadcast(comm, &number, sizeof(number), comm.size() - 1);
  EXPECT_EQ(number, 42);
}

}  // namespace
}  // namespace switchyard::comm
