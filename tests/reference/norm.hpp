// RMSNorm in double, plain loops.
#pragma once
#include <cmath>
#include <vector>

namespace switchyard::reference {

using Doubles = std::vector<double>;

/// y(n, d) of x(n, d).
inline Doubles rms_norm(const Doubles& x, const Doubles& weight, double epsilon) {
  const std::size_t d = weight.size();
  Doubles y(x.size());
  for (std::size_t i = 0; i < x.size() / d; ++i) {
    double squares = 0.0;
    for (std::size_t c = 0; c < d; ++c) squares += x[i * d + c] * x[i * d + c];
    for (std::size_t c = 0; c < d; ++c)
      y[i * d + c] = x[i * d + c] / std::sqrt(squares / static_cast<double>(d) + epsilon) * weight[c];
  }
  return y;
}

/// Gradients with respect to x and weight, given dy.
inline void rms_norm_backward(const Doubles& x, const Doubles& weight, double epsilon, const Doubles& dy, Doubles& dx,
                              Doubles& dweight) {
  const std::size_t d = weight.size();
  dx.assign(x.size(), 0.0);
  dweight.assign(d, 0.0);
  for (std::size_t i = 0; i < x.size() / d; ++i) {
    const double *xi = &x[i * d], *dyi = &dy[i * d];
    double squares = 0.0, dot = 0.0;
    for (std::size_t c = 0; c < d; ++c) squares += xi[c] * xi[c], dot += dyi[c] * weight[c] * xi[c];
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(d) + epsilon);
    for (std::size_t c = 0; c < d; ++c) {
      dx[i * d + c] = scale * dyi[c] * weight[c] - xi[c] * scale * scale * scale * dot / static_cast<double>(d);
      dweight[c] += dyi[c] * xi[c] * scale;
    }
  }
}

}  // namespace switchyard::reference
