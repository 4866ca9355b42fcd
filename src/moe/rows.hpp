// Row kernels of dispatch and combine. Every element of a result is made whole by one iteration, in a fixed order.
#pragma once
#include <cstdint>

#include "tensor/types.hpp"

namespace switchyard::moe::rows {

/// to(n, width) row r = from row index[r].
void gather(Index n, Index width, const std::int32_t* index, const float* from, float* to);

/// to row index[r] = from(n, width) row r.
void scatter(Index n, Index width, const std::int32_t* index, const float* from, float* to);

/// The row of each choice, −1 where dropped; choices of token t are [first[t], first[t + 1]), at most `capacity` in
/// all. Device memory.
struct Choices {
  Index tokens;
  Index capacity;
  const std::int32_t* first;  ///< (tokens + 1)
  const std::int32_t* row;
};

/// y(token, ·) += s, where s is one fma chain from +0 over the choices in order: s = fma(weight(choice), row, s).
void combine(const Choices& choices, Index width, const float* weight, const float* rows, float* y);

/// dx(token, ·) += s, where s is the rows of its choices added in order, from +0.
void sum(const Choices& choices, Index width, const float* rows, float* dx);

/// The gradient of combine: dweight(choice) = <dy(token, ·), row> (+0 where dropped), and
/// d_rows row = weight(choice) · dy(token, ·); d_rows may be `rows` itself. (Seven arguments:
/// two results of four inputs, none of which is used without the others.)
void combine_backward(const Choices& choices, Index width, const float* weight, const float* dy, const float* rows,
                      float* dweight, float* d_rows);

/// The first row of to(n, width) with a value that is not finite although its row of from(n, width) is; −1 if none.
Index first_made_non_finite(Index n, Index width, const float* from, const float* to);

}  // namespace switchyard::moe::rows
