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

constexpr int at_once = on_host ? 1 : 16;  // units whose counts a thread reads before it writes any

KOKKOS_INLINE_FUNCTION void add_units(const Matrix<std::int32_t>& before, Index first, Index last, Index e,
                                      std::int32_t& sum) {
  std::int32_t of_unit[at_once];
  for (int u = 0; u < at_once; ++u) of_unit[u] = first + u < last ? before(first + u, e) : 0;
  for (int u = 0; u < at_once; ++u) {
    if (first + u < last) before(first + u, e) = sum;
    sum += of_unit[u];
  }
}

/// Counts of units become sums over the earlier ones of their piece.
void add_up(const Queue& queue, const Cut& cut, const ExpertCounts& counts) {
  const Index columns = counts.total.extent(1), units = cut.units_of_piece();
  Kokkos::parallel_for(
      "switchyard::moe::choice_order::add_up", queue.range(cut.pieces * columns), KOKKOS_LAMBDA(Index it) {
        const Index piece = it / columns, e = it % columns;
        std::int32_t sum = 0;
        for (Index unit = piece * units; unit < (piece + 1) * units; unit += at_once)
          add_units(counts.before, unit, (piece + 1) * units, e, sum);
        counts.total(piece, e) = sum;
      });
}

constexpr int count_threads = 256;  // that share the choices of a unit on a device

KOKKOS_INLINE_FUNCTION void count_unit(const UnitTeam::member_type& team, const Ranks& ranks) {
  const Index unit = team.league_rank(), experts = ranks.experts();
  const int columns = static_cast<int>(experts) + 1, me = team.team_rank();
  auto* sum = static_cast<std::int32_t*>(team.team_shmem().get_shmem(columns * sizeof(std::int32_t)));
  for (int e = me; e < columns; e += count_threads) sum[e] = 0;
  team.team_barrier();
  const UnitChoices choices(ranks.cut, ranks.choice, unit);
  for (Index m = me; m < choices.count; m += count_threads) {
    Index i = 0;
    if (!choices.find(m, i)) continue;
    const Index column = column_of(ranks.choice, i, experts);
    if (column == experts || ranks.counts(i)) Kokkos::atomic_inc(&sum[column]);  // integers
  }
  team.team_barrier();
  for (int e = me; e < columns; e += count_threads) ranks.before(unit, e) = sum[e];
}

void count_by_teams(const Queue& queue, const Ranks& ranks) {
  if (ranks.cut.units() == 0) return;
  tick();
  UnitTeam teams(queue.space(), static_cast<int>(ranks.cut.units()), count_threads);
  const auto bytes = static_cast<int>((ranks.experts() + 1) * sizeof(std::int32_t));
  Kokkos::parallel_for(
      "switchyard::moe::choice_order::count_by_teams", teams.set_scratch_size(0, Kokkos::PerTeam(bytes + 64)),
      KOKKOS_LAMBDA(const UnitTeam::member_type& team) { count_unit(team, ranks); });
}

Index unit_of(Index piece_tokens) {
  constexpr Index of_device = 64;
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
  if (on_host)
    count_units(queue, cut, choice, which, counts.before);
  else
    count_by_teams(queue, {cut, choice, which, counts.before});
  add_up(queue, cut, counts);
}

}  // namespace switchyard::moe
