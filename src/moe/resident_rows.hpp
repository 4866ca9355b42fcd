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

  /// Item i: piece i % pieces of expert i / pieces, before which there are so many rows.
  KOKKOS_INLINE_FUNCTION void write(Index i, std::int32_t before, std::int32_t rows) const {
    const Index pieces = begins.extent(0), e = i / pieces, g = i % pieces;
    begins(g, e) = before;
    if (g == 0) offsets[e] = before;
    if (i == pieces * static_cast<Index>(begins.extent(1)) - 1) offsets[e + 1] = before + rows;
  }
};

/// From the totals: begins, offsets and the tokens of rows past the last.
void order_resident(const Queue& queue, const ResidentRows& ordered);

}  // namespace switchyard::moe
