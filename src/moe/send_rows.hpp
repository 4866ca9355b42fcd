// The send rows of choices (moe/plan.hpp), from where those of each piece and expert begin and their ranks.
#pragma once
#include "moe/choice_order.hpp"

namespace switchyard::moe {

/// What place() reads, and writes.
struct SendRows {
  Matrix<std::int32_t> begins;  ///< (pieces, E) first send row
  std::int32_t* row;            ///< (choices) send row, −1 where there is none
  std::int32_t* token;          ///< (rows)
};

/// The send rows of the kept choices; token(row) and row(choice). What there is no memory for was counted apart, and is
/// refused once the host knows.
void place(const Queue& queue, const Ranks& ranks, const SendRows& rows);

}  // namespace switchyard::moe
