// ranks: 1 2 3 5
// Collectives against a plain re-computation: what a rank gives is a function of its number, so each rank knows what
// all of them give. Shapes at random from one seed, ends of the integers, nothing at all, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "comm/collectives.hpp"
#include "comm/groups.hpp"
#include "comm/joint_sum.hpp"
#include "comm/mpi_count.hpp"
#include "support/refusal.hpp"
#include "support/world.hpp"

namespace switchyard::comm {
namespace {

using test::refusal;
using Integers = std::numeric_limits<std::int64_t>;

Communicator world() { return Communicator::duplicate(MPI_COMM_WORLD); }

TEST(AllReduce, IsExactUpToTheEndsOfTheIntegers) {
  const Communicator comm = world();
  const std::int64_t others = comm.size() - 1, first = comm.rank() == 0;
  std::int64_t sums[] = {first ? Integers::max() - others : 1, first ? Integers::min() + others : -1,
                         first ? (std::int64_t{1} << 53) : 1, comm.rank() % 2 ? -comm.rank() : comm.rank()};
  all_reduce_sum(comm, sums, 4);
  std::int64_t alternating = 0;
  for (int r = 0; r < comm.size(); ++r) alternating += r % 2 ? -r : r;
  EXPECT_EQ(sums[0], Integers::max());
  EXPECT_EQ(sums[1], Integers::min());
  EXPECT_EQ(sums[2], (std::int64_t{1} << 53) + others);  // of doubles it would be one less for two ranks
  EXPECT_EQ(sums[3], alternating);
  std::int64_t most[] = {Integers::min(), Integers::min() + comm.rank(), comm.rank() == others ? Integers::max() : 0};
  all_reduce_max(comm, most, 3);
  EXPECT_EQ(most[0], Integers::min());
  EXPECT_EQ(most[1], Integers::min() + others);
  EXPECT_EQ(most[2], Integers::max());
  constexpr double inf = std::numeric_limits<double>::infinity();
  double reals[] = {-inf, comm.rank() == 0 ? -1e-310 : -1.0, comm.rank() == others ? inf : 1e308};
  all_reduce_max(comm, reals, 3);
  EXPECT_EQ(reals[0], -inf);
  EXPECT_EQ(reals[1], -1e-310);
  EXPECT_EQ(reals[2], inf);
  EXPECT_NO_THROW(all_reduce_sum(comm, nullptr, 0));
}

/// Texts of rank r in a trial: none, any bytes, a long one.
std::string text_of(int trial, int r) {
  if (trial == 0) return "";
  std::mt19937 random(static_cast<unsigned>(100 * trial + r));
  std::string text(trial == 1 && r == 1 ? 300000 : random() % 5, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST(Gathers, GiveWhatEachRankGave) {
  const Communicator comm = world();
  for (int trial = 0; trial < 12; ++trial) {
    std::vector<std::string> texts;
    std::vector<std::int64_t> numbers, counts, mine;
    std::vector<double> reals, my_reals;
    for (int r = 0; r < comm.size(); ++r) {
      texts.push_back(text_of(trial, r));
      counts.push_back(static_cast<std::int64_t>(texts.back().size()));
      for (std::size_t i = 0; i < texts.back().size(); ++i) {
        numbers.push_back(Integers::max() - static_cast<std::int64_t>(i) * 7 - r);
        reals.push_back(std::ldexp(r + 1.0, static_cast<int>(i % 2000) - 1000));
        if (r == comm.rank()) mine.push_back(numbers.back()), my_reals.push_back(reals.back());
      }
    }
    EXPECT_EQ(all_gather(comm, texts[comm.rank()]), texts) << trial;
    EXPECT_EQ(all_gather(comm, mine), numbers) << trial;
    EXPECT_EQ(all_gather(comm, my_reals, counts), reals) << trial;
    EXPECT_EQ(gather_on_root(comm, my_reals, counts), comm.rank() ? std::vector<double>() : reals) << trial;
    for (int root = 0; root < comm.size(); ++root)
      EXPECT_EQ(broadcast(comm, "of rank " + std::to_string(comm.rank()) + texts[comm.rank()], root),
                "of rank " + std::to_string(root) + texts[root]);
  }
}

TEST(Gathers, TouchNothingElse) {
  const Communicator comm = world();
  std::mt19937 random(3);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<std::int64_t> counts;
    for (int r = 0; r < comm.size(); ++r) counts.push_back(random() % 3 ? random() % 9 : 0);
    const std::int64_t round = 1 + random() % 6;
    std::vector<std::int32_t> wanted, mine(9, comm.rank()), all(9 * comm.size() + 1, -5);
    for (int r = 0; r < comm.size(); ++r)
      for (std::int64_t i = 0; i < counts[r]; ++i) wanted.push_back(static_cast<std::int32_t>(100 * r + i));
    for (int i = 0; i < 9; ++i) mine[i] = 100 * comm.rank() + i;
    if (comm.rank() > 0) wanted.clear();
    wanted.resize(all.size(), -5);
    gather_elements(comm, mine.data(), counts, 4, all.data(), round);
    EXPECT_EQ(all, wanted) << "in rounds of " << round;
    const int root = static_cast<int>(random() % comm.size());
    std::vector<char> bytes(random() % 40, static_cast<char>(comm.rank()));
    std::vector<char> sent(bytes.size(), static_cast<char>(root));
    bytes.push_back('!'), sent.push_back('!');
    broadcast(comm, bytes.data(), static_cast<std::int64_t>(bytes.size()) - 1, root);
    EXPECT_EQ(bytes, sent);
  }
}

/// The tree by its definition: the left part of n leaves is the largest power of two below n.
template <class T>
T tree(const std::vector<T>& leaves, std::size_t first, std::size_t n) {
  if (n == 1) return leaves[first];
  const std::size_t left = std::bit_floor(n - 1);
  return tree(leaves, first, left) + tree(leaves, first + left, n - left);
}

/// Any bits but NaN, so that infinities, zeros of both signs and denormal numbers take part.
template <class T>
T value_of(std::mt19937_64& random) {
  constexpr T odd[] = {T(0), -T(0), std::numeric_limits<T>::infinity(), std::numeric_limits<T>::max(),
                       -std::numeric_limits<T>::denorm_min()};
  const auto pick = random() % 40;
  if (pick < 5) return odd[pick];
  return std::ldexp(static_cast<T>(random() % 2000001) - T(1000000), static_cast<int>(random() % 30));
}

/// Grains cut among the ranks anywhere, some of which have none: values of all, and the nodes of each rank.
template <class T>
struct Held {
  std::vector<std::vector<T>> grains;  // (n) of (grains)
  std::vector<std::vector<TreeNode>> nodes_of;
  Held(std::mt19937_64& random, int ranks, std::int64_t n) {
    const int total = static_cast<int>(random() % 12);
    std::vector<int> cuts{0, total};
    while (static_cast<int>(cuts.size()) <= ranks) cuts.push_back(static_cast<int>(random() % (total + 1)));
    std::sort(cuts.begin(), cuts.end());
    for (int r = 0; r < ranks; ++r) nodes_of.push_back(tree_nodes(cuts[r], cuts[r + 1]));
    for (std::int64_t i = 0; i < n; ++i) {
      grains.emplace_back();
      for (int g = 0; g < total; ++g) grains.back().push_back(value_of<T>(random));
    }
  }
  T node(const TreeNode& of, std::int64_t i) const { return tree(grains[i], of.first, of.size); }
  std::vector<T> sums() const {
    std::vector<T> all;
    for (const auto& g : grains) all.push_back(g.empty() ? T(0) : tree(g, 0, g.size()));
    return all;
  }
};

template <class T>
bool same_bits(const T* a, const std::vector<T>& b) {
  for (std::size_t i = 0; i < b.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}

TEST(TreeSums, OfGrainsCutAnywhere) {
  const Communicator comm = world();
  std::mt19937_64 random(17);
  for (int trial = 0; trial < 40; ++trial) {
    const std::int64_t n = trial % 4 == 3 ? 0 : 1 + static_cast<std::int64_t>(random() % 9);
    const Held<double> held(random, comm.size(), n);
    std::vector<double> mine;
    for (const TreeNode& node : held.nodes_of[comm.rank()])
      for (std::int64_t i = 0; i < n; ++i) mine.push_back(held.node(node, i));
    const std::vector<double> sums = tree_all_reduce(comm, held.nodes_of, mine, n);
    ASSERT_EQ(static_cast<std::int64_t>(sums.size()), n);
    EXPECT_TRUE(same_bits(sums.data(), held.sums())) << "trial " << trial;
  }
}

// Nodes lie `stride` apart, as units of a slab do; what is between them and behind the sums is another's.
TEST(TreeSums, OfAPartOfASlab) {
  const Communicator comm = world();
  std::mt19937_64 random(23);
  Timers timers;
  SumMemory memory;  // the one memory of sums of all sizes
  for (int trial = 0; trial < 16; ++trial) {
    const std::int64_t n = 1 + static_cast<std::int64_t>(random() % (trial % 2 ? 9000 : 5)), stride = n + 3;
    const Held<float> held(random, comm.size(), n);
    const auto& nodes = held.nodes_of[comm.rank()];
    std::vector<float> slab(nodes.size() * static_cast<std::size_t>(stride), -3.0f),
        out(static_cast<std::size_t>(n) + 1, -7.0f);
    for (std::size_t k = 0; k < nodes.size(); ++k)
      for (std::int64_t i = 0; i < n; ++i) slab[k * stride + i] = held.node(nodes[k], i);
    const std::vector<float> before = slab;
    tree_all_reduce(comm, held.nodes_of, {slab.data(), stride, n, out.data()}, memory, timers);
    EXPECT_TRUE(same_bits(out.data(), held.sums())) << "trial " << trial;
    EXPECT_EQ(out.back(), -7.0f);
    EXPECT_EQ(std::memcmp(slab.data(), before.data(), slab.size() * sizeof(float)), 0) << "trial " << trial;
  }
}

// Counts of many callers beside numbers: exact where a double would not be.
TEST(JointSums, CountsAreIntegers) {
  const Groups groups(world(), LayoutConfig{}, 5);
  JointSum sum(groups);
  const std::vector<double> none;
  const std::int64_t big = (std::int64_t{1} << 53) + 1, rank = groups.layout.rank, ranks = groups.layout.ranks;
  const auto first = sum.add(std::vector<std::int64_t>{rank == 0 ? big : 0, -rank}, none, 0);
  const auto second = sum.add(std::vector<std::int64_t>{rank == ranks - 1 ? Integers::max() : 0}, none, 0);
  sum.reduce();
  EXPECT_EQ(sum.counts(first)[0], big);
  EXPECT_EQ(sum.counts(first)[1], -ranks * (ranks - 1) / 2);
  EXPECT_EQ(sum.counts(second)[0], Integers::max());
  EXPECT_TRUE(sum.values(first).empty());
}

TEST(Groups, AreForDivisorsOnly) {
  const int ranks = world().size();
  for (int degree = -2; degree <= ranks + 2; ++degree) {
    const std::string text = refusal([&] {
      const Groups groups(world(), test::expert_parallel(degree), 4);
      EXPECT_EQ(groups.expert.size() * groups.expert_data.size(), ranks);
      std::int64_t members[] = {groups.expert.rank() + groups.expert_data.rank() * groups.expert.size()};
      EXPECT_EQ(members[0], groups.world.rank());  // the groups are rows and columns of the ranks
    });
    const bool fits = degree == 0 || (degree > 0 && ranks % degree == 0);
    EXPECT_EQ(text, fits ? ""
                         : "2 layout.expert_parallel is " + std::to_string(degree) + " (it does not divide the " +
                               std::to_string(ranks) + " ranks of the run); choose a divisor, or 0 for all ranks");
  }
}

TEST(Refused, ShapesThatDoNotFit) {
  const Communicator comm = world();
  const std::vector<std::int64_t> too_many(comm.size() + 1, 0), one(comm.size(), 1);
  const std::vector<double> none;
  const std::vector<std::vector<TreeNode>> nodes(comm.size() + 1), empty(comm.size());
  Timers timers;
  SumMemory memory;
  const std::function<void()> calls[] = {
      [&] { all_gather(comm, none, too_many); },
      [&] { gather_elements(comm, nullptr, too_many, 4, nullptr); },
      [&] { gather_on_root(comm, none, one); },
      [&] { tree_all_reduce(comm, nodes, none, 1); },
      [&] { tree_all_reduce(comm, empty, std::vector<double>(1), 1); },
      [&] {
        tree_all_reduce(comm, nodes, SlabPart{nullptr, 0, 0, nullptr}, memory, timers);
      }};
  for (const auto& call : calls) EXPECT_EQ(refusal(call).substr(0, 2), "1 ");
}

TEST(MpiCount, IsAnIntOrRefused) {
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  EXPECT_EQ(mpi_count(0, "rows"), 0);
  EXPECT_EQ(mpi_count(most, "rows"), most);
  for (const std::int64_t n : {std::int64_t{-1}, most + 1, Integers::max(), Integers::min(), std::int64_t{1} << 32})
    EXPECT_EQ(refusal([n] { mpi_count(n, "rows of a rank"); }),
              "2 " + std::to_string(n) +
                  " rows of a rank (MPI counts at most 2147483647 in one message); use more ranks or a smaller batch");
  for (const std::int64_t bytes : {1, 3, 4096}) {
    int size = 0;
    const RowType row(bytes);
    check_mpi(MPI_Type_size(row.handle(), &size));
    EXPECT_EQ(size, bytes);
  }
  EXPECT_EQ(refusal([] { RowType(0); }).substr(0, 2), "1 ");
  EXPECT_EQ(refusal([] { RowType(std::int64_t{1} << 31); }).substr(0, 2), "2 ");
}

}  // namespace
}  // namespace switchyard::comm
