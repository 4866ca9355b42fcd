#include "moe/capacity.hpp"

#include <algorithm>
#include <cmath>

namespace switchyard::moe {
namespace {

/// By position, in the order of the choices.
void keep_first(const Queue& queue, std::int64_t rows, const Ranks& ranks) {
  const Vector<std::uint8_t> kept = ranks.choice.kept;
  for_ranked(
      queue, "switchyard::moe::capacity::keep_first", ranks,
      KOKKOS_LAMBDA(const RankedChoice& c) { kept(c.choice) = c.rank < rows; });
}

/// Where the choices of each grain and expert begin: by grain, then expert.
void begin_groups(const Queue& queue, const Cut& cut, const ExpertCounts& counts, const Choice& choice,
                  const Matrix<std::int32_t>& first) {
  const Index experts = first.extent(1);
  Kokkos::parallel_for(
      "switchyard::moe::capacity::begin_groups", queue.range(cut.pieces), KOKKOS_LAMBDA(Index piece) {
        std::int32_t next = choice.first(cut.first_of(piece));
        for (Index e = 0; e < experts; ++e) {
          first(piece, e) = next;
          next += counts.total(piece, e);
        }
      });
}

void fill_groups(const Queue& queue, const Ranks& ranks, const ChoiceGroups& groups) {
  const Vector<std::int32_t> expert = ranks.choice.expert;
  for_ranked(
      queue, "switchyard::moe::capacity::fill_groups", ranks, KOKKOS_LAMBDA(const RankedChoice& c) {
        groups.member(groups.first(c.piece, expert(c.choice)) + c.rank) = static_cast<std::int32_t>(c.choice);
      });
}

/// A cut of no tokens where nothing is dropped.
Cut cut_for(const Config& config, const nn::Rows& rows) {
  if (config.moe.capacity_factor <= 0.0) return {};
  return cut_of(rows.count, rows.grain_count(), config.moe.drop_order == DropOrder::position ? config.moe.top_k : 1);
}

}  // namespace

std::int64_t capacity(double factor, std::int64_t tokens, int top_k, int experts) {
  const double rows = factor * static_cast<double>(tokens) * top_k / experts;
  // 1.1 · 10 rows are 11, though their product in double is above it. What no integer can count is more than any rows.
  constexpr std::int64_t most = std::int64_t{1} << 62;
  return static_cast<std::int64_t>(std::min(std::ceil(rows * (1.0 - 1e-12)), static_cast<double>(most)));
}

Drop::Drop(Arena& arena, const Config& config, const nn::Rows& rows, int experts)
    : order_(config.moe.drop_order), cut_(cut_for(config, rows)), counts_(arena, cut_, experts) {
  groups_.count = counts_.total;
  const bool by_weight = order_ == DropOrder::weight;
  groups_.first = arena.matrix<std::int32_t>(by_weight ? cut_.pieces : 0, experts);
  groups_.member = arena.vector<std::int32_t>(by_weight ? cut_.tokens * config.moe.top_k : 0);
}

void Drop::keep_within(const Queue& queue, std::int64_t rows, const Choice& choice) const {
  if (cut_.tokens == 0) return;
  const Ranks ranks{cut_, choice, Which::all, counts_.before};
  count(queue, cut_, choice, Which::all, counts_);
  if (order_ == DropOrder::position) return keep_first(queue, rows, ranks);
  begin_groups(queue, cut_, counts_, choice, groups_.first);
  fill_groups(queue, ranks, groups_);
  keep_heaviest(queue, rows, cut_, groups_, choice);
}

}  // namespace switchyard::moe
