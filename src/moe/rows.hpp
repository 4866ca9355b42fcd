// Row kernels of dispatch and combine, for rows of any element; the residual stream is of floats. Every element of a
// result is made whole by one iteration, in a fixed order.
#pragma once
#include <cstdint>

#include "config/config.hpp"
#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

namespace switchyard::moe::rows {

/// to(n, width) row r = from row index[r] − before. `index` is device memory.
void gather(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to, Index before = 0);

/// to row index[r] = from(n, width) row r.
void scatter(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to);

/// How the rows of a token's choices are summed: those of experts of one group are one chain in choice order, rounded
/// to the element of the rows; these sums meet along the binary tree over the groups, each of its sums rounded so too,
/// and a group without a row is absent. With one group the chain is all there is, and not rounded.
struct SumOrder {
  int groups = 1;  ///< a power of two, of contiguous experts, as even as can be
  int experts = 1;
  const std::int32_t* expert = nullptr;  ///< of each choice; not read where there is one group
  bool chained = true;                   ///< false: a row is the sum of its group already

  KOKKOS_INLINE_FUNCTION int group_of(Index choice) const {
    return static_cast<int>(((Index{expert[choice]} + 1) * groups - 1) / experts);
  }
};

/// The row of each choice, −1 where dropped; choices of token t are [first[t], first[t + 1]), at most `capacity` in
/// all. Device memory.
struct Choices {
  Index tokens;
  Index capacity;
  const std::int32_t* first;  ///< (tokens + 1)
  const std::int32_t* row;
  SumOrder order = {};
};

/// Those of tokens [first, last), which are then tokens 0, …; choices keep their numbers.
inline Choices choices_of(Choices choices, Index first, Index last) {
  choices.first += first, choices.tokens = last - first;
  return choices;
}

/// y(token, ·) += s, the sum of the rows of its choices, each by its weight, or as they are where `weight` is null:
/// chains are s = fma(weight(choice), row, s) from +0.
void add_sums(const Queue& queue, const Choices& choices, const float* weight, const Tensor& rows, const Tensor& y);

/// sums(tokens, width), of the element of the rows, = these sums; +0 for a token without a row.
void sums(const Queue& queue, const Choices& choices, const float* weight, const Tensor& rows, const Tensor& sums);

/// The gradients of weights: dweight(choice) = <dy(token, ·), row>, +0 where dropped.
void weight_gradients(const Queue& queue, const Choices& choices, const Tensor& dy, const Tensor& rows, float* dweight);

/// The gradients of rows: gradient row = weight(choice) · dy(token, ·).
void row_gradients(const Queue& queue, const Choices& choices, const float* weight, const Tensor& dy,
                   const Tensor& gradient);

/// Both at once; `gradient` may be `rows`.
struct Gradients {
  const float* weight;
  const Tensor &dy, &rows, &gradient;
  float* dweight;
};
void gradients(const Queue& queue, const Choices& choices, const Gradients& gradients);

/// The first row of `to` with a value that is not finite although its row of `from` is; −1 if none.
Index first_made_non_finite(const Queue& queue, const Tensor& from, const Tensor& to);

}  // namespace switchyard::moe::rows
