// Where the rows of a resident plan lie (moe/plan.hpp), decided on the device.
#pragma once
#include "tensor/queue.hpp"

namespace switchyard::moe {

/// Where a resident plan has its rows: by expert, then piece.
struct ResidentRows {
  Matrix<std::int32_t> total;   ///< (pieces, E + 1)
  Matrix<std::int32_t> begins;  ///< (pieces, E)
  Index* offsets;               ///< (E + 1)
  std::int32_t* token;          ///< (capacity) of rows past the last kept choice it is 0, so that it is some token's
  Index capacity;
};

/// From the totals: begins, offsets and the tokens of rows past the last.
void order_resident(const Queue& queue, const ResidentRows& ordered);

}  // namespace switchyard::moe
