// What happens inside the rows of an RMSNorm: norm_host.cpp or norm_cuda.cpp.
#pragma once
#include "nn/norm.hpp"

namespace switchyard::nn {

/// The forward pass of all rows.
struct NormForward {
  Tensor x;             ///< (N, d) floats
  const float* weight;  ///< (d)
  float epsilon;
  Tensor y;      ///< (N, d)
  Tensor copy;   ///< (N, d) floats that become x, or nothing
  float* scale;  ///< (N) becomes 1 / root mean square
};

/// The backward pass of all rows.
struct NormBackward {
  Tensor x;             ///< (N, d) floats
  const float* weight;  ///< (d)
  const float* scale;   ///< (N) what forward left
  Tensor dy;            ///< (N, d)
  const StreamGradient& d;
  Matrix<float> partial;  ///< norm_partials rows, overwritten: what the gradient of the weight is made of
};

/// The gradient of the weight: node t of the lane at data + t·stride, of d elements.
struct NormSums {
  float* data;
  Index stride;
};

void normalise(const Queue& queue, const NormForward& rows);
/// Adds to the gradient of x.
void denormalise(const Queue& queue, const Rows& lane, const NormBackward& rows);
/// Then: the gradient of the weight by node. Overwrites `partial`.
void sum_partials(const Queue& queue, const Rows& lane, const Matrix<float>& partial, const NormSums& sums);

}  // namespace switchyard::nn
