// Row kernels of dispatch and combine, for rows of float or Bf16; the residual stream is of floats. Every element of a
// result is made whole by one iteration, in a fixed order.
#pragma once
#include <cstdint>

#include "tensor/element.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe::rows {

/// to(n, width) row r = from row index[r].
template <class T>
void gather(Index n, Index width, const std::int32_t* index, const T* from, T* to);

/// to row index[r] = from(n, width) row r.
template <class T>
void scatter(Index n, Index width, const std::int32_t* index, const T* from, T* to);

/// The row of each choice, −1 where dropped; choices of token t are [first[t], first[t + 1]), at most `capacity` in
/// all. Device memory.
struct Choices {
  Index tokens;
  Index capacity;
  const std::int32_t* first;  ///< (tokens + 1)
  const std::int32_t* row;
};

/// y(token, ·) += s, where s is one fma chain from +0 over the choices in order: s = fma(weight(choice), row, s).
template <class T>
void combine(const Choices& choices, Index width, const float* weight, const T* rows, float* y);

/// dx(token, ·) += s, where s is the rows of its choices added in order, from +0.
template <class T>
void sum(const Choices& choices, Index width, const T* rows, float* dx);

/// The gradient of combine: dweight(choice) = <dy(token, ·), row> (+0 where dropped), and
/// d_rows row = weight(choice) · dy(token, ·); d_rows may be `rows` itself. (Seven arguments:
/// two results of four inputs, none of which is used without the others.)
template <class T>
void combine_backward(const Choices& choices, Index width, const float* weight, const float* dy, const T* rows,
                      float* dweight, T* d_rows);

/// The first row of to(n, width) with a value that is not finite although its row of from(n, width) is; −1 if none.
Index first_made_non_finite(Index n, Index width, const float* from, const float* to);

}  // namespace switchyard::moe::rows
