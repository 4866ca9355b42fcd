#include "moe/choice_order.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace switchyard::moe {
namespace {

/// Adds a choice to the counts of its unit.
struct Count {
  Choice choice;
  Matrix<std::int32_t> before;
  Index unit;
  bool all;
  KOKKOS_INLINE_FUNCTION void operator()(Index /*token*/, Index i) const {
    const Index experts = before.extent(1) - 1, column = column_of(choice, i, experts);
    if (column == experts || all || choice.kept(i)) ++before(unit, column);
  }
};

void count_units(const Queue& queue, const Cut& cut, const Choice& choice, Which which,
                 const Matrix<std::int32_t>& before) {
  const bool all = which == Which::all;
  const Index columns = before.extent(1);
  Kokkos::parallel_for(
      "switchyard::moe::choice_order::count", queue.range(cut.units()), KOKKOS_LAMBDA(Index unit) {
        for (Index e = 0; e < columns; ++e) before(unit, e) = 0;
        for_choices(cut, choice, unit, Count{choice, before, unit, all});
      });
}

/// Counts of units become sums over the earlier ones of their piece.
void add_up(const Queue& queue, const Cut& cut, const ExpertCounts& counts) {
  const Index columns = counts.total.extent(1), units = cut.units_of_piece();
  Kokkos::parallel_for(
      "switchyard::moe::choice_order::add_up", queue.range(cut.pieces * columns), KOKKOS_LAMBDA(Index it) {
        const Index piece = it / columns, e = it % columns;
        std::int32_t sum = 0;
        for (Index unit = piece * units; unit < (piece + 1) * units; ++unit) {
          const std::int32_t of_unit = counts.before(unit, e);
          counts.before(unit, e) = sum;
          sum += of_unit;
        }
        counts.total(piece, e) = sum;
      });
}

constexpr int piece_threads = 256;

/// Counts of the units of a piece, one unit after another, by the threads of a team.
KOKKOS_INLINE_FUNCTION void count_piece(const UnitTeam::member_type& team, const Ranks& ranks,
                                        const Matrix<std::int32_t>& total) {
  const Index piece = team.league_rank(), units = ranks.cut.units_of_piece(), experts = ranks.experts();
  const int columns = static_cast<int>(experts) + 1, me = team.team_rank();
  auto* sum = static_cast<std::int32_t*>(team.team_shmem().get_shmem(columns * sizeof(std::int32_t)));
  for (int e = me; e < columns; e += piece_threads) sum[e] = 0;
  for (Index unit = piece * units; unit < (piece + 1) * units; ++unit) {
    team.team_barrier();
    for (int e = me; e < columns; e += piece_threads) ranks.before(unit, e) = sum[e];
    team.team_barrier();
    const UnitChoices choices(ranks.cut, ranks.choice, unit);
    for (Index m = me; m < choices.count; m += piece_threads) {
      Index i = 0;
      if (!choices.find(m, i)) continue;
      const Index column = column_of(ranks.choice, i, experts);
      if (column == experts || ranks.counts(i)) Kokkos::atomic_inc(&sum[column]);  // integers
    }
  }
  team.team_barrier();
  for (int e = me; e < columns; e += piece_threads) total(piece, e) = sum[e];
}

/// On a device: a team a piece, so that counts of units and sums over them are one launch.
void count_pieces(const Queue& queue, const Ranks& ranks, const Matrix<std::int32_t>& total) {
  if (ranks.cut.pieces == 0) return;
  tick();
  UnitTeam teams(queue.space(), static_cast<int>(ranks.cut.pieces), piece_threads);
  const auto bytes = static_cast<int>((ranks.experts() + 1) * sizeof(std::int32_t));
  Kokkos::parallel_for(
      "switchyard::moe::choice_order::count_pieces", teams.set_scratch_size(0, Kokkos::PerTeam(bytes + 64)),
      KOKKOS_LAMBDA(const UnitTeam::member_type& team) { count_piece(team, ranks, total); });
}

Index unit_of(Index piece_tokens) {
  constexpr Index of_device = 128;
  return std::max<Index>(1, on_host ? piece_tokens : std::min(of_device, piece_tokens));
}

}  // namespace

Cut cut_of(Index tokens, Index pieces, int rounds) {
  expect(tokens == 0 || (pieces > 0 && tokens % pieces == 0), "tokens in whole pieces");
  const Index piece = pieces > 0 ? tokens / pieces : 0;
  return {tokens, pieces, piece, unit_of(piece), rounds};
}

Cut cut_at(const std::int32_t* begins, Index tokens, Index pieces, Index largest) {
  return {tokens, pieces, largest, unit_of(largest), 1, begins};
}

ExpertCounts::ExpertCounts(Arena& arena, const Cut& largest, int experts)
    : before(arena.matrix<std::int32_t>(largest.units(), experts + 1)),
      total(arena.matrix<std::int32_t>(largest.pieces, experts + 1)) {}

void count(const Queue& queue, const Cut& cut, const Choice& choice, Which which, const ExpertCounts& counts) {
  if (!on_host) return count_pieces(queue, {cut, choice, which, counts.before}, counts.total);
  count_units(queue, cut, choice, which, counts.before);
  add_up(queue, cut, counts);
}

}  // namespace switchyard::moe
