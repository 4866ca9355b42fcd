#include "moe/send_rows.hpp"

namespace switchyard::moe {

void place(const Queue& queue, const Ranks& ranks, const SendRows& rows) {
  const Vector<std::int32_t> expert = ranks.choice.expert;
  for_ranked(
      queue, "switchyard::moe::plan::place", ranks, KOKKOS_LAMBDA(const RankedChoice& c) {
        const std::int32_t row = c.rank < 0 ? -1 : rows.begins(c.piece, expert(c.choice)) + c.rank;
        rows.row[c.choice] = row;
        if (row >= 0) rows.token[row] = static_cast<std::int32_t>(c.token);
      });
}

}  // namespace switchyard::moe
