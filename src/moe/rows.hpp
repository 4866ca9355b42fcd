// Row kernels of dispatch and combine, for rows of any element; the residual stream is of floats. Every element of a
// result is made whole by one iteration, in a fixed order.
#pragma once
#include <cstdint>

#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

namespace switchyard::moe::rows {

/// to(n, width) row r = from row index[r]. `index` is device memory.
void gather(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to);

/// to row index[r] = from(n, width) row r.
void scatter(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to);

/// The row of each choice, −1 where dropped; choices of token t are [first[t], first[t + 1]), at most `capacity` in
/// all. Device memory.
struct Choices {
  Index tokens;
  Index capacity;
  const std::int32_t* first;  ///< (tokens + 1)
  const std::int32_t* row;
};

/// y(token, ·) += s, where s is one fma chain from +0 over the choices in order: s = fma(weight(choice), row, s).
void combine(const Queue& queue, const Choices& choices, const float* weight, const Tensor& rows, const Tensor& y);

/// dx(token, ·) += s, where s is the rows of its choices added in order, from +0.
void sum(const Queue& queue, const Choices& choices, const Tensor& rows, const Tensor& dx);

/// Rows, and the gradients that take their place or another.
struct RowGradient {
  Tensor rows, gradient;
};

/// The gradient of combine: dweight(choice) = <dy(token, ·), row> (+0 where dropped), and the gradient of a row =
/// weight(choice) · dy(token, ·).
void combine_backward(const Queue& queue, const Choices& choices, const float* weight, const Tensor& dy, float* dweight,
                      const RowGradient& rows);

/// The first row of `to` with a value that is not finite although its row of `from` is; −1 if none.
Index first_made_non_finite(const Queue& queue, const Tensor& from, const Tensor& to);

}  // namespace switchyard::moe::rows
