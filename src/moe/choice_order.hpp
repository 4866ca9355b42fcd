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
  Matrix<std::int32_t> before;  ///< (units, E + 1) the expert's choices in earlier units of the piece
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

}  // namespace switchyard::moe
