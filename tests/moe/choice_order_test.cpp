// Choices in cuts of any size, as a device cuts them and a host does not: every choice once and in order, and the
// counts of those before. Oracle: loops over pieces, rounds and tokens.
#include "moe/choice_order.hpp"

#include <gtest/gtest.h>

#include "support/queue.hpp"
#include "support/refusal.hpp"
#include "support/values.hpp"

namespace switchyard::moe {
namespace {

using test::on_device;

constexpr int experts = 4;
using Pairs = std::vector<std::pair<Index, Index>>;  // (token, number of the choice)

/// 0 to k choices of each token; experts −1 and 4 are none.
struct Made {
  Made(Index tokens, int k) {
    first.push_back(0);
    std::uint32_t state = 7u + static_cast<std::uint32_t>(tokens * 31 + k);
    const auto next = [&state](int n) { return static_cast<int>((state = state * 1664525u + 1013904223u) >> 16) % n; };
    for (Index t = 0; t < tokens; ++t) {
      for (int j = next(k + 1); j > 0; --j) expert.push_back(next(12) ? next(experts) : next(2) * 5 - 1);
      first.push_back(static_cast<std::int32_t>(expert.size()));
    }
    for (std::size_t i = 0; i < expert.size(); ++i) kept.push_back(next(3) > 0);
  }
  Choice choice() const { return {on_device(first), on_device(expert), {}, on_device(kept)}; }
  int column(Index i) const { return expert[i] < 0 || expert[i] >= experts ? experts : expert[i]; }
  std::vector<std::int32_t> first, expert;
  std::vector<std::uint8_t> kept;
};

/// The choices of a piece in their order.
Pairs order_of(const Made& made, const Cut& cut, Index piece) {
  const Index n = cut.tokens / cut.pieces, begin = cut.begins ? cut.begins[piece] : piece * n,
              end = cut.begins ? cut.begins[piece + 1] : begin + n;
  Pairs all;
  for (int round = 0; round < cut.rounds; ++round)
    for (Index t = begin; t < end; ++t)
      for (Index i = made.first[t]; i < made.first[t + 1]; ++i)
        if (cut.rounds == 1 || i - made.first[t] == round) all.emplace_back(t, i);
  return all;
}

/// Those of each unit of a piece.
std::vector<Pairs> units_of(const Made& made, const Cut& cut, Index piece) {
  const Choice choice = made.choice();
  std::vector<Pairs> units;
  for (Index u = piece * cut.units_of_piece(); u < (piece + 1) * cut.units_of_piece(); ++u) {
    units.emplace_back();
    for_choices(cut, choice, u, [&](Index t, Index i) { units.back().emplace_back(t, i); });
  }
  return units;
}

std::vector<Cut> cuts(int k) {
  std::vector<Cut> all;
  for (const Index pieces : {1, 2, 5})
    for (const Index of_piece : {0, 1, 3, 16, 17, 50})
      for (const Index unit : {1, 3, 16, 64})
        for (const int rounds : {1, k}) all.push_back({pieces * of_piece, pieces, of_piece, unit, rounds});
  static const std::int32_t begins[] = {0, 17, 17, 18, 40};  // pieces that are not equal
  for (const Index unit : {1, 3, 16, 23, 64}) all.push_back({40, 4, 22, unit, 1, begins});
  all.push_back(cut_at(begins, 40, 4, 22));
  return all;
}

TEST(ChoiceOrder, TheUnitsOfAPieceHaveItsChoicesInOrder) {
  if (!on_host) GTEST_SKIP() << "choices are read where they are made";
  for (const int k : {1, 2, 4})
    for (const Cut& cut : cuts(k)) {
      const Made made(cut.tokens, k);
      for (Index piece = 0; piece < cut.pieces; ++piece) {
        Pairs visited;
        for (const Pairs& unit : units_of(made, cut, piece)) visited.insert(visited.end(), unit.begin(), unit.end());
        ASSERT_EQ(visited, order_of(made, cut, piece)) << cut.tokens << " " << cut.unit_tokens << " " << cut.rounds;
      }
    }
}

struct Counts {
  Counts(Arena& arena, const Cut& cut) : of(arena, cut, experts) {}
  ExpertCounts of;
};

/// What count() must find: the choices of an expert in earlier units of the piece, and in all of it.
void expect_counts(const Made& made, const Cut& cut, Which which) {
  const Placed<Counts> counts("test::counts", cut);
  for (int again = 0; again < 2; ++again) count(test::queue(), cut, made.choice(), which, counts->of);
  const auto before = host_values(counts->of.before), total = host_values(counts->of.total);
  const int columns = experts + 1;
  for (Index piece = 0, u = 0; piece < cut.pieces; ++piece) {
    std::vector<std::int32_t> sum(columns, 0);
    for (const Pairs& unit : units_of(made, cut, piece)) {
      for (int e = 0; e < columns; ++e) ASSERT_EQ(before[u * columns + e], sum[e]) << "unit " << u << " expert " << e;
      for (const auto& [t, i] : unit)
        sum[made.column(i)] += which == Which::all || made.kept[i] || made.column(i) == experts;
      ++u;
    }
    for (int e = 0; e < columns; ++e) ASSERT_EQ(total[piece * columns + e], sum[e]) << "piece " << piece;
  }
}

TEST(ChoiceOrder, CountsByExpertWhatIsBeforeAUnitAndInAPiece) {
  if (!on_host) GTEST_SKIP() << "choices are read where they are made";
  for (const int k : {1, 3})
    for (const Cut& cut : cuts(k))
      for (const Which which : {Which::all, Which::kept}) expect_counts(Made(cut.tokens, k), cut, which);
}

/// What for_ranked() must say of every choice: (token, rank), −1 where it does not count.
Pairs ranks_of(const Made& made, const Cut& cut, Which which) {
  Pairs all(made.expert.size());
  for (Index piece = 0; piece < cut.pieces; ++piece) {
    std::vector<Index> before(experts, 0);
    for (const auto& [t, i] : order_of(made, cut, piece)) {
      const bool counts = made.column(i) < experts && (which == Which::all || made.kept[i]);
      all[i] = {t, counts ? before[made.column(i)]++ : -1};
    }
  }
  return all;
}

/// Tokens and ranks as for_ranked() hands them out.
struct Handed {
  std::vector<std::int32_t> token, rank;
};

Handed hand_out(const Made& made, const Cut& cut, Which which) {
  const Choice choice = made.choice();
  const Placed<Counts> counts("test::counts", cut);
  const auto n = static_cast<Index>(made.expert.size());
  const Vector<std::int32_t> token("token", n), rank("rank", n);
  count(test::queue(), cut, choice, which, counts->of);
  for_ranked(
      test::queue(), "test::rank", {cut, choice, which, counts->of.before}, KOKKOS_LAMBDA(const RankedChoice& c) {
        token(c.choice) = static_cast<std::int32_t>(c.token);
        rank(c.choice) = c.rank;
      });
  return {host_values(token), host_values(rank)};
}

TEST(ChoiceOrder, RanksAreAmongTheChoicesOfAnExpertInAPiece) {
  for (const int k : {1, 3})
    for (const Index of_piece : {1, 50, 300})
      for (const int rounds : {1, k})
        for (const Which which : {Which::all, Which::kept}) {
          const Cut cut = cut_of(2 * of_piece, 2, rounds);
          const Made made(cut.tokens, k);
          const Handed handed = hand_out(made, cut, which);
          const Pairs wanted = ranks_of(made, cut, which);
          for (std::size_t i = 0; i < wanted.size(); ++i)
            ASSERT_EQ(Pairs::value_type(handed.token[i], handed.rank[i]), wanted[i]) << "choice " << i;
        }
}

// A choice past the memory of the pass has no expert, wherever the starts say that it is.
TEST(ChoiceOrder, WhatIsPastTheMemoryHasNoExpert) {
  const Cut cut = cut_of(3, 1, 1);
  const Placed<Counts> counts("test::counts", cut);
  const Choice choice{on_device<std::int32_t>({0, 2, 3, 6}),
                      on_device<std::int32_t>({0, 0, 3, 1}),
                      {},
                      on_device<std::uint8_t>({1, 0, 1, 1})};
  count(test::queue(), cut, choice, Which::kept, counts->of);
  EXPECT_EQ(host_values(counts->of.total), (std::vector<std::int32_t>{1, 1, 0, 1, 2}));
}

TEST(ChoiceOrder, TokensAreWholePieces) {
  EXPECT_EQ(test::refusal([] { cut_of(12, 3, 2); }), "");
  EXPECT_EQ(test::refusal([] { cut_of(0, 0, 1); }), "");
  for (const Index pieces : {0, 5})
    EXPECT_NE(test::refusal([&] { cut_of(12, pieces, 1); }).find("expected tokens in whole pieces"), std::string::npos);
}

}  // namespace
}  // namespace switchyard::moe
