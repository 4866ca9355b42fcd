// Sums of rows that were made apart.
#pragma once
#include <vector>

#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

/// to = a + b, elementwise, rounded to their element; `to` may be one of them.
void add(const Queue& queue, const Tensor& a, const Tensor& b, const Tensor& to);

/// to = the sum of the parts, as many as a power of two, of one shape, along their binary tree; all but the last
/// addition in the parts. Of one part nothing is done: it must be `to`.
void add_along_tree(const Queue& queue, const std::vector<Tensor>& parts, const Tensor& to);

}  // namespace switchyard
