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
  StreamGradient d;
  Matrix<float> partial;  ///< norm_partials rows, overwritten
};

/// The gradient of the weight: node t of the lane at data + t·stride, of d elements.
struct NormSums {
  float* data;
  Index stride;
};

void normalise(const Queue& queue, const NormForward& rows);
/// Adds to the gradient of x, and sums that of the weight by node.
void denormalise(const Queue& queue, const Rows& lane, const NormBackward& rows, const NormSums& sums);

}  // namespace switchyard::nn
