// The choices of a rank counted by expert and put in order, on the device: what plans and drops are made of.
#pragma once
#include <cstdint>

#include "moe/routers/scores.hpp"
#include "tensor/arena.hpp"
#include "tensor/queue.hpp"

namespace switchyard::moe {

/// Tokens cut for counting. Counts are asked of pieces; the choices of a unit are counted one after another, those of
/// all units of a piece in their order.
struct Cut {
  Index tokens = 0;
  Index pieces = 0;
  Index piece_tokens = 0;  ///< of each piece, or of the largest
  Index unit_tokens = 1;   ///< of a piece that units share; the last units may have fewer, or none
  int rounds = 1;          ///< 1: a token's choices together; k: first the first choices of all tokens of a piece, …
  const std::int32_t* begins = nullptr;  ///< (pieces + 1) first token of each piece, device; null: they are equal

  KOKKOS_INLINE_FUNCTION Index first_of(Index piece) const { return begins ? begins[piece] : piece * piece_tokens; }
  KOKKOS_INLINE_FUNCTION Index blocks() const { return (piece_tokens + unit_tokens - 1) / unit_tokens; }
  KOKKOS_INLINE_FUNCTION Index units_of_piece() const { return blocks() * rounds; }
  KOKKOS_INLINE_FUNCTION Index units() const { return pieces * units_of_piece(); }
};

/// Units of whole pieces on a host, of few tokens on a device. `tokens` are whole pieces, equal ones.
Cut cut_of(Index tokens, Index pieces, int rounds);
/// The same with pieces of which the largest has `largest` tokens.
Cut cut_at(const std::int32_t* begins, Index tokens, Index pieces, Index largest);

/// Which choices count.
enum class Which { all, kept };

/// Memory of a count of E experts: column E has the choices that are none, since there is no such expert or no such
/// place in the memory of choices.
struct ExpertCounts {
  ExpertCounts(Arena& arena, const Cut& largest, int experts);
  Matrix<std::int32_t> before;  ///< (units, E + 1) the expert's choices in earlier units of the piece, until they are
                                ///< ranked
  Matrix<std::int32_t> total;   ///< (pieces, E + 1)
};

void count(const Queue& queue, const Cut& cut, const Choice& choice, Which which, const ExpertCounts& counts);

/// Calls f(token, number of the choice) for the choices of a unit, in their order.
template <class F>
KOKKOS_INLINE_FUNCTION void for_choices(const Cut& cut, const Choice& choice, Index unit, const F& f) {
  const Index piece = unit / cut.units_of_piece(), within = unit % cut.units_of_piece();
  const Index round = within / cut.blocks(), last_token = cut.first_of(piece + 1);
  const Index begin = cut.first_of(piece) + within % cut.blocks() * cut.unit_tokens;
  const Index end = begin + cut.unit_tokens < last_token ? begin + cut.unit_tokens : last_token;
  for (Index t = begin; t < end; ++t) {
    Index i = choice.first(t), last = choice.first(t + 1);
    if (cut.rounds > 1) {
      i += round;
      last = i + 1 < last ? i + 1 : last;
    }
    for (; i < last; ++i) f(t, i);
  }
}

/// The column of a choice: its expert, or E.
KOKKOS_INLINE_FUNCTION Index column_of(const Choice& choice, Index i, Index experts) {
  if (i >= choice.capacity()) return experts;
  const std::int32_t e = choice.expert(i);
  return e >= 0 && e < experts ? e : experts;
}

/// A choice as it is ranked: `rank` is how many of its expert come before it in its piece, −1 where it does not count.
struct RankedChoice {
  Index token, choice, piece;
  std::int32_t rank;
};

/// What ranks are made of, after count().
struct Ranks {
  Cut cut;
  Choice choice;
  Which which;
  Matrix<std::int32_t> before;

  KOKKOS_INLINE_FUNCTION Index experts() const { return static_cast<Index>(before.extent(1)) - 1; }
  KOKKOS_INLINE_FUNCTION bool counts(Index i) const {
    return column_of(choice, i, experts()) < experts() && (which == Which::all || choice.kept(i));
  }
};

using UnitTeam = Kokkos::TeamPolicy<Device>;
constexpr int unit_threads = 128;  ///< that share the choices of a unit on a device

/// The choices of a unit as a list, so that threads can share them.
struct UnitChoices {
  KOKKOS_INLINE_FUNCTION UnitChoices(const Cut& cut, const Choice& of, Index unit) : choice(of), rounds(cut.rounds) {
    const Index within = unit % cut.units_of_piece();
    piece = unit / cut.units_of_piece(), round = within / cut.blocks();
    const Index last = cut.first_of(piece + 1), at = cut.first_of(piece) + within % cut.blocks() * cut.unit_tokens;
    begin = at < last ? at : last;
    end = begin + cut.unit_tokens < last ? begin + cut.unit_tokens : last;
    count = rounds > 1 ? end - begin : choice.first(end) - choice.first(begin);
  }
  /// Number m of them, of a token that for_choices visits; false where the token has none in this round.
  KOKKOS_INLINE_FUNCTION bool find(Index m, Index& i) const {
    i = rounds > 1 ? choice.first(begin + m) + round : choice.first(begin) + m;
    return rounds == 1 || i < choice.first(begin + m + 1);
  }
  /// The token of number m, which is choice i: the last one whose choices begin at i or before.
  KOKKOS_INLINE_FUNCTION Index token_of(Index m, Index i) const {
    if (rounds > 1) return begin + m;
    Index low = begin, high = end;
    while (high - low > 1) {
      const Index middle = (low + high) / 2;
      (choice.first(middle) <= i ? low : high) = middle;
    }
    return low;
  }
  const Choice& choice;
  int rounds;
  Index piece, round, begin, end, count;
};

/// Ranks of the choices of a unit by its threads, as many at a time as there are threads: each compares its column with
/// those of all others, which are a few words that all of them read.
template <class F>
KOKKOS_INLINE_FUNCTION void rank_unit(const UnitTeam::member_type& team, const Ranks& ranks, const F& f) {
  const Index unit = team.league_rank();
  const int experts = static_cast<int>(ranks.experts()), me = team.team_rank();
  auto* column =
      static_cast<std::int32_t*>(team.team_shmem().get_shmem((unit_threads + experts) * sizeof(std::int32_t)));
  std::int32_t* before = column + unit_threads;
  for (int e = me; e < experts; e += unit_threads) before[e] = ranks.before(unit, e);
  const UnitChoices choices(ranks.cut, ranks.choice, unit);
  for (Index first = 0; first < choices.count; first += unit_threads) {
    Index i = 0;
    const bool there = first + me < choices.count && choices.find(first + me, i) && i < ranks.choice.capacity();
    const bool counts = there && ranks.counts(i);
    team.team_barrier();  // those before have read
    column[me] = counts ? ranks.choice.expert(i) : -1;
    team.team_barrier();
    std::int32_t rank = -1;
    bool last = counts;
    if (counts) {
      rank = before[column[me]];
      for (int other = 0; other < unit_threads; ++other)
        if (column[other] == column[me]) rank += other < me, last = last && other <= me;
    }
    team.team_barrier();
    if (last) before[column[me]] = rank + 1;
    if (there) f(RankedChoice{choices.token_of(first + me, i), i, choices.piece, rank});
  }
}

template <class F>
void rank_one_by_one(const Queue& queue, const char* label, const Ranks& ranks, const F& f) {
  Kokkos::parallel_for(label, queue.range(ranks.cut.units()), [=](Index unit) {
    const Index piece = unit / ranks.cut.units_of_piece();
    for_choices(ranks.cut, ranks.choice, unit, [&](Index t, Index i) {
      if (i >= ranks.choice.capacity()) return;
      f(RankedChoice{t, i, piece, ranks.counts(i) ? ranks.before(unit, ranks.choice.expert(i))++ : -1});
    });
  });
}

template <class F>
void rank_by_teams(const Queue& queue, const char* label, const Ranks& ranks, const F& f) {
  if (ranks.cut.units() == 0) return;
  tick();
  UnitTeam teams(queue.space(), static_cast<int>(ranks.cut.units()), unit_threads);
  const auto bytes = static_cast<int>((unit_threads + ranks.experts()) * sizeof(std::int32_t));
  Kokkos::parallel_for(
      label, teams.set_scratch_size(0, Kokkos::PerTeam(bytes + 64)),
      KOKKOS_LAMBDA(const UnitTeam::member_type& team) { rank_unit(team, ranks, f); });
}

/// Calls f(RankedChoice) for all choices that there is memory for, after count() of the same, once.
template <class F>
void for_ranked(const Queue& queue, const char* label, const Ranks& ranks, const F& f) {
  if constexpr (on_host)
    rank_one_by_one(queue, label, ranks, f);
  else
    rank_by_teams(queue, label, ranks, f);
}

}  // namespace switchyard::moe
