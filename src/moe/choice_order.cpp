#include "moe/choice_order.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace switchyard::moe {
namespace {

/// The column of a choice.
KOKKOS_INLINE_FUNCTION Index column_of(const Choice& choice, Index i, Index experts) {
  if (i >= choice.capacity()) return experts;
  const std::int32_t e = choice.expert(i);
  return e >= 0 && e < experts ? e : experts;
}

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

Index unit_of(Index piece_tokens) {
  constexpr Index of_device = 16;
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
  count_units(queue, cut, choice, which, counts.before);
  add_up(queue, cut, counts);
}

}  // namespace switchyard::moe
