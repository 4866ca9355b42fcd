#include "record/floor.hpp"

#include <cmath>

namespace switchyard::record {

double expected_largest_normal(int n) {
  // Trapezoids on [-9, 9]: the integrand and its derivatives vanish at both ends, so the error falls exponentially.
  constexpr int intervals = 1440;
  constexpr double h = 18.0 / intervals, root_half = 0.70710678118654752, norm = 0.39894228040143268;
  double sum = 0.0;
  for (int i = 0; i <= intervals; ++i) {
    const double x = -9.0 + h * i;
    const double below = 0.5 * std::erfc(-x * root_half);
    sum += x * norm * std::exp(-0.5 * x * x) * std::pow(below, n - 1);
  }
  return n < 2 ? 0.0 : n * h * sum;
}

double max_vio_floor(int experts, std::int64_t draws) {
  if (draws <= 0) return 0.0;
  return expected_largest_normal(experts) * std::sqrt(static_cast<double>(experts) / static_cast<double>(draws));
}

}  // namespace switchyard::record
