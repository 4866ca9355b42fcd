// The rows of the token embedding: embedding_host.cpp or embedding_cuda.cpp.
#pragma once
#include "model/embedding.hpp"

namespace switchyard::model {

/// x(N, d) of floats = rows `ids` of the weight (V, d).
void embed(const Queue& queue, const Tensor& weight, const Vector<std::int32_t>& ids, const Tensor& x);

/// Row `token` of the gradient of each entry's node, those `stride` apart, = the sum of its segments, each a chain from
/// +0 over its rows of dx(N, d); dx is overwritten.
void sum_entries(const Queue& queue, const IndexPointers& index, const Tensor& dx, float* gradient, Index stride);

}  // namespace switchyard::model
